/* openssl.c - compiles and links (-lssl -lcrypto) where there is an OpenSSL 3. setup.py and
 * `make server` ask the compiler with it whether there can be connections over TLS. It is never
 * run. */
#include <openssl/opensslv.h>
#include <openssl/ssl.h>

#if OPENSSL_VERSION_NUMBER < 0x30000000L
#error "OpenSSL 3 or later"
#endif

int main(void)
{
    return SSL_CTX_new(TLS_client_method()) == NULL;
}
