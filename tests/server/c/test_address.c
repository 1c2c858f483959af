/* Addresses: who may be connected to for whom. */
#include "address.h"
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Whether a client at peer may aim at target where the networks of allow, at most four, are. */
static bool may(const char *peer_text, const char *target_text, const char *allow_text)
{
    struct network_list allow = {0};
    struct address peer, target;
    char copy[200], *rest = copy, *part;

    snprintf(copy, sizeof copy, "%s", allow_text);
    while ((part = strsep(&rest, " ")))
        if (*part)
            CHECK(network_parse(&allow.items[allow.count++], part) == 0);
    CHECK(address_parse(&peer, peer_text, 5000) == 0);
    CHECK(address_parse(&target, target_text, 80) == 0);
    address_complete(&target, &peer);
    return address_may_target(&peer, &target, &allow);
}

static void check_own(void)
{
    CHECK(may("10.0.0.7", "10.0.0.7", ""));
    CHECK(may("::ffff:10.0.0.7", "10.0.0.7", ""));
    CHECK(!may("10.0.0.7", "10.0.0.8", ""));
    CHECK(!may("10.0.0.7", "127.0.0.1", ""));
    CHECK(!may("10.0.0.7", "0.0.0.0", ""));
    CHECK(may("127.0.0.1", "127.0.0.9", ""));
    CHECK(may("127.0.0.1", "::1", ""));
    CHECK(!may("127.0.0.1", "0.0.0.0", ""));
    CHECK(may("2001:db8::7", "2001:db8::7", ""));
    CHECK(!may("2001:db8::7", "::ffff:127.0.0.1", ""));
    CHECK(may("169.254.3.4", "169.254.3.4", ""));
}

static void check_allow(void)
{
    static const char *const special[] = {
        "127.0.0.1",
        "127.255.0.9",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "169.254.1.1",
        "224.0.0.1",
        "239.1.2.3",
        "255.255.255.255",
        "100.100.100.200",
        "::1",
        "::",
        "::7f00:1",
        "fe80::1",
        "ff02::1",
        "ff0e::1",
        "fd00:ec2::254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:1",
        "2002:7f00:1::",
        "::ffff:127.0.0.1",
    };

    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        CHECK(!may("10.0.0.7", special[i], "0.0.0.0/0 ::/0"));
        CHECK(!may("10.0.0.7", special[i], "0.0.0.0/1 128.0.0.0/1 ::/1 8000::/1"));
        CHECK(!may("10.0.0.7", special[i], "127.0.0.1/0 169.254.0.0/8 fe80::1/0 ff02::1/0"));
        CHECK(may("10.0.0.7", special[i], special[i])); /* said so itself */
    }
    CHECK(may("10.0.0.7", "127.0.0.1", "127.0.0.0/8"));
    CHECK(may("10.0.0.7", "127.0.0.1", "0.0.0.0/0 127.0.0.0/30"));
    CHECK(!may("10.0.0.7", "127.0.1.1", "0.0.0.0/0 127.0.0.0/30"));
    CHECK(may("10.0.0.7", "169.254.1.1", "169.254.0.0/16"));
    CHECK(may("10.0.0.7", "10.9.9.9", "0.0.0.0/0"));
    CHECK(may("10.0.0.7", "100.100.100.201", "100.64.0.0/10"));
    CHECK(may("10.0.0.7", "2001:db8::1", "::/0"));
    CHECK(may("10.0.0.7", "64:ff9b::808:808", "::/0"));
    CHECK(!may("10.0.0.7", "2001:db8::1", "0.0.0.0/0"));
    CHECK(!may("10.0.0.7", "10.9.9.9", "10.8.0.0/16"));
}

/* The only link that is everywhere is lo, 1; a number names others, which need not exist. */
static void check_links(void)
{
    CHECK(may("fe80::7%1", "fe80::7%1", ""));
    CHECK(may("fe80::7%1", "fe80::7", ""));
    CHECK(!may("fe80::7%1", "fe80::7%2", ""));
    CHECK(!may("fe80::7%1", "fe80::8", ""));
    CHECK(!may("2001:db8::7", "fe80::7%1", ""));
    CHECK(may("2001:db8::7", "fe80::7%1", "fe80::/10"));
    CHECK(may("2001:db8::7", "fe80::7%1", "fe80::%1/64"));
    CHECK(!may("2001:db8::7", "fe80::7%2", "fe80::%1/64"));
    CHECK(!may("2001:db8::7", "fe80::7", "fe80::%1/64"));
}

static bool same_text(const char *text)
{
    struct address address;
    char shown[ADDRESS_TEXT];

    return address_parse_unix(&address, text) == 0 && address_is_unix(&address) &&
           strcmp(address_print(&address, true, shown), text) == 0 &&
           strcmp(address_print(&address, false, shown), text) == 0;
}

static void check_unix(void)
{
    static const char *const bad[] = {
        "unix:", "unix:/", "unix:@", "unix:relative", "unix:/a,unix:/b", "/a", "127.0.0.1", "",
    };
    struct network_list nothing = {0};
    struct address target, peer, untouched;
    char longest[140] = "unix:/";

    CHECK(same_text("unix:/tmp/a"));
    CHECK(same_text("unix:@a"));
    memset(longest + 6, 'x', 106);
    CHECK(same_text(longest));
    longest[5] = '@';
    CHECK(same_text(longest));
    longest[112] = 'x';
    CHECK(!same_text(longest));
    memset(&target, 0xa5, sizeof target);
    untouched = target;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(address_parse_unix(&target, bad[i]) == -EINVAL);
    CHECK(memcmp(&target, &untouched, sizeof target) == 0);

    CHECK(address_parse_unix(&target, "unix:/a") == 0);
    CHECK(address_parse(&peer, "127.0.0.1", 1) == 0 &&
          address_may_target(&peer, &target, &nothing));
    CHECK(address_parse(&peer, "::1", 1) == 0 && address_may_target(&peer, &target, &nothing));
    nothing.count = 1;
    CHECK(network_parse(&nothing.items[0], "0.0.0.0/0") == 0);
    CHECK(address_parse(&peer, "10.0.0.7", 1) == 0);
    CHECK(!address_may_target(&peer, &target, &nothing));
    CHECK(!address_is_loopback(&target));
}

int main(void)
{
    check_own();
    check_allow();
    check_links();
    check_unix();
    return checks_report();
}
