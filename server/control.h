/* control.h - the control protocol, versions 2 and 1, and its limits.
 *
 * Three files know the wire format, one for each kind of what is said: request.c and command.c read
 * what a control client sends, reply.c writes what it is answered. None owns a socket: talk.c does
 * the talking.
 *
 * The text below is the protocol; a control client can be written from it alone.
 * tests/server/test_protocol_text.py holds it against the server and the driver.
 *
 * THE PARTIES. A control client connects to the load server (TCP, port 33331 unless --listen says
 * otherwise) and asks for a test of a client under test: something that listens and echoes. The
 * load server connects to that, sends messages of msize bytes, one in flight per connection unless
 * inflight says more, and checks that each comes back as it was sent, byte by byte, and in order.
 *
 *     control client ----- control connection -----> load server
 *           |                                             |
 *     client under test <---- conns data connections -----+
 *
 * The server speaks when it has been asked and not before. It serves one test at a time, or any
 * number of tests that take turns: a request for the one while there is the other, or for a second
 * test without turns, waits 0.1 s for its end and is then answered with the error `busy`.
 *
 * VERSION 2. Lines of ASCII, ended by one '\n' (no '\r'), of at most 4096 bytes with it: a verb,
 * then words key=value, separated by blanks. `>` is what the control client sends, `<` the server:
 *
 *     > test v=2 addr=127.0.0.1 port=33332 conns=1000 msize=64 warmup_ms=1000 runtime_ms=30000
 *     < connected ...       all connections are up; nothing has been sent on them
 *     > ready               the client under test has accepted them all: the warm-up begins
 *     < mark ...            with slice_ms only: a slice of the window ends
 *     < progress ...        once a second until the last echo has come
 *     > stop                if wanted: the window ends now
 *     < result ...
 *     < fairness ...
 *     < listener ...        with several ports only: a line for each
 *     < hist ...            as many lines as it takes, none when no message came back
 *     < slice ...           with slice_ms only: a line for each
 *     < corrected ...       this and the next in an open loop only
 *     < corrected_hist ...
 *     < end                 the server has closed its sending side
 *
 * or, at any time in place of the next line, `< error ...`, which is then the last. With turns=1
 * nothing is sent after `ready` but in turns, as many as the client asks for:
 *
 *     > test v=2 addr=127.0.0.1 port=33332 conns=1000 msize=64 turns=1
 *     < connected ...
 *     > ready
 *     > turn settle_us=8000 window_us=40000
 *     < turn ...            this turn has been taken; or
 *     < busy                another test is being pinged: the turn was not begun
 *     > stop
 *     < result ...          all turns together, and so on, to
 *     < end
 *
 * A turn: a ping on every connection (or its think time or schedule begins anew), the settling
 * time, which is not counted, the window, which is; no further ping; then outstanding echoes are
 * waited for, 2 s at most. Whoever has not answered by then has time until the next turns: it is
 * pinged again when its echo has come. One test is pinged at a time in the whole server. Who waits
 * for its turn costs no CPU time. Connections that end between two turns are found by the next. A
 * `progress` line, if a turn takes that long, is about that turn.
 *
 * A client that closes the control connection, or only its sending side, has gone: its test ends
 * and is not answered. So has one whose machine has been silent to TCP's own inquiries for 15 s. It
 * has 10 s to send its request in, else it is closed without a word; when more than 128 are not
 * being served, so is the one of those who have not that is nearest to its limit. `ready` is
 * awaited for 120 s and 20 ms a connection after `connected`, and may be sent before it; `turn` for
 * 600 s after `ready` or the last one. `stop` instead of `ready` ends the test with an empty
 * result; within a turn it ends its window, and the turn is told before the result. A second `stop`
 * is ignored; any other line is an error, a `turn` within a turn too. After the window outstanding
 * echoes are waited for, 2 s at most, then the data connections are closed, then the result is
 * sent.
 *
 * > test: at most 32 words with the verb. Keys come in any order, each once; one that is not known
 * is an error. A number is decimal digits and nothing else, a text printable ASCII without a blank.
 * A default that is the server's is what it was started with.
 *
 *     key            values         default   meaning
 *     v=             2              required  version of the protocol
 *     addr=          text           required  where to connect to: a numeric IPv4 or IPv6 address
 *                                             without brackets, no name; or unix:/PATH, or
 *                                             unix:@NAME for an abstract one: a Unix stream socket
 *                                             or up to 64 of them with commas between, as ports
 *     port=          1..65535       required  or up to 64 of them with commas between: so many
 *                                             listeners, each of which has one connection or more.
 *                                             The first connection goes to the first port, the
 *                                             second to the second, and so on, over and over; idle
 *                                             ones are dealt out likewise. Of a Unix socket there
 *                                             is none
 *     transport=     plain tls      plain     tls: TLS 1.3 over each connection, without resuming
 *                                             a session; needs the engine epoll; not with
 *                                             timestamps. Connections come up a limited number at
 *                                             a time: a handshake must be answered without waiting
 *                                             for further connections
 *     pin=           text           none      with transport=tls: the SHA-256 of the certificate
 *                                             (DER) that the client under test has, 64 hexadecimal
 *                                             digits. Nothing else of the certificate is looked at
 *     conns=         1..1000000     required  connections to open
 *     msize=         1..1048576     required  bytes of a message
 *     inflight=      1..1024        1         pings in flight on each connection, at most 16777216
 *                                             over all. Each echo is followed by the next ping;
 *                                             not together with think times or a rate
 *     idle=          0..1000000     0         further connections, with conns at most 1000000. They
 *                                             are opened first and never pinged, and are in no
 *                                             count of the others; see idle_lost
 *     warmup_ms=     0..86400000    required  pinging before the window, not measured
 *     runtime_ms=    1..86400000    required  length of the window; neither of the two with turns
 *     turns=         1              none      ping in turns only, each with its own times
 *     think_min_us=  0..1000000000  0         before each ping a connection waits for a time drawn
 *     think_max_us=  0..1000000000  0         evenly from this range, its ends included; not at
 *                                             all when the upper one is 0
 *     rate=          1..1000000000  none      open loop: pings per second over all connections,
 *                                             each of which has its own schedule and is late when
 *                                             an echo is; not together with think times
 *     arrivals=      even poisson   even      the schedule of a rate. even: a connection's pings
 * are all the same time apart, and the connections take turns. poisson: independent random gaps,
 * exponential with that time for their mean, as from many users who know nothing of each other
 *     seed=          0..4294967295  0         what these gaps are drawn from: the same seed gives a
 *                                             connection the same ones; needs arrivals=poisson
 *     busy_poll_us=  0..1000000     0         look for echoes that long before sleeping
 *     timestamps=    kernel         none      ask the kernel when each echo arrived, to tell how
 *                                             long it lay unread; needs the engine epoll; not of
 *                                             a Unix socket
 *     threads=       1..64          server's  ping threads, at most one a connection. Each has open
 *                                             files of its own: left out, there are as many as have
 *                                             room for all connections
 *     engine=        epoll uring null   server's  what moves the bytes; with null nothing does:
 *                                             each ping is its own echo, at once, and the test
 *                                             measures the load server alone
 *     slice_ms=      1..86400000    none      cut the window into slices of this length, 1000 of
 *                                             them at most; the last may be shorter. Not with turns
 *     token=         text           none      1 to 256 characters: the server's PYBENCH_TOKEN;
 *                                             of no effect when it has none. A wrong one is
 *                                             answered after 0.1 s, and nothing else meanwhile
 *
 * > turn: both keys, in any order.
 *     settle_us=     0..60000000    required  pinging before the window, not measured
 *     window_us=     1..60000000    required  length of the window
 *
 * Who may ask for what: addr must be the address that the control client itself comes from, or any
 * loopback address for a client on loopback, or in a network of the server's --allow. A link-local
 * address is one on the link that the client comes in by, unless it names another (fe80::1%eth1),
 * which is then another address. A Unix socket is for a client on loopback only, and for a server
 * that was told no --source; it is opened with the rights of the server.
 *
 * Replies: words in the order given here. A client ignores keys that it does not know. Values are
 * decimal numbers unless said otherwise. Times are nanoseconds where the key ends in _ns.
 *
 * < connected
 *     n=             connections, as asked for, without the idle ones
 *     elapsed_ns=    to establish them
 *
 * < mark: at the window's beginning, and at each slice's end, the window's being the last. Of
 * several that have passed meanwhile only the last is sent. Who measures the client under test
 * looks at it then.
 *     t_ns=          since the window's beginning, as planned; a mark is sent as soon as may be
 *
 * < progress
 *     t_ms=          since the pinging began, warm-up included
 *     messages=      echoes so far, warm-up included
 *     alive=         connections that are still open
 *
 * < turn: counts and times are of its window, unless it says otherwise.
 *     n=             its number in the session, from 1
 *     messages=      echoes that arrived in it
 *     window_ns=     its length: as asked for, or less when `stop` came or no connection was left,
 *                    down to 0
 *     total=         echoes from the turn's beginning to its end: with the settling before and the
 *                    waiting after the window, and late ones
 *     latency_sum_ns= latency_max_ns= idle_ns= user_ns= sys_ns=   as in a result
 *     drain_ns=      from the end of the window until the last echo had come or was given up
 *     alive=         connections that are still open
 *     unanswered=    on these, pings whose echo had not come when the turn ended
 *     late_echoes=   echoes of earlier turns' pings that came in this one
 *
 * < busy: no words.
 *
 * < result: counts and times are of the window, unless it says otherwise. The window begins after
 * the warm-up, and ends after the runtime, at `stop`, or when no connection is left. With turns: of
 * all windows together.
 *     messages=      echoes that arrived in it
 *     window_ns=     its length; 0 when the test ended before it began
 *     total=         messages sent from `ready` to the end, warm-up included
 *     drained=       echoes that came after it, while the outstanding ones were waited for
 *     latency_sum_ns=   over messages is the mean; a latency counts from when the message's sending
 *                    began to when its echo had been read. The engine uring sends and reads in
 *                    batches: one time serves a batch's ends and the next one's beginnings
 *     latency_max_ns=
 *     in_flight_ns=  time that connections spent awaiting an echo, added up; of pings that the
 *                    window's ends cut in two, the part inside. Over window_ns: the mean number of
 *                    pings in flight
 *     lost=          connections that ended before the test did, at any time: the sum of the next
 *     lost_reset= lost_closed= lost_corrupt= lost_error=   by cause: reset by the peer; closed by
 *                    it; other bytes than were sent, or more; another error of the socket
 *     lost_tls=      this and the next three with transport=tls only. One more cause: an alert of
 *                    TLS, or bytes that are none of this session's. close_notify is a closing
 *     tls_handshake_ns=   of connect_ns, while any handshake was under way: connections over it are
 *                    handshakes per second, of both ends together
 *     tls_handshake_sum_ns=   what each took, added up; many are under way at once
 *     tls_cipher=    text: the cipher suite
 *     connect_ns=    as elapsed_ns
 *     user_ns= sys_ns=   CPU time of the ping threads
 *     busy_poll_us=  as asked for
 *     idle_ns=       of that CPU time, what was spent polling in vain
 *     waits=         waits of the ping threads for something to happen
 *     events=        ready connections (or completions) that they gave
 *     events_squared=   the sum of each wait's events squared
 *     queue_ns= queue_samples=   with timestamps=kernel only: time that echoes lay in this machine
 *                    before they were read, added up, and of how many: of several echoes that
 *                    were read at once the last
 *     idle_lost=     with idle only: of the idle connections, those that had ended when the test
 *                    did, or on which something had come
 *     threads=       ping threads; 0 when `stop` came before `ready`
 *     engine=        text
 *     version=       text: the server's
 *
 * < fairness: messages in the window per connection, over all that were opened.
 *     min= p5= p10= ... p95= max=   least, percentiles (nearest rank) by fives, most
 *     jain=          Jain's index: a fraction from 0 to 1 with six decimals; 1 is even, or nothing
 *     starved=       connections without any
 *
 * < listener: one port of several, in the order of the request.
 *     n=             its number, from 1
 *     conns=         connections that went to it
 *     messages=      echoes in the window that came from it
 *
 * < hist: words LOWER_EDGE_NS=MESSAGES, rising over all hist lines, empty buckets left out; the sum
 * is messages. A bucket with its edge in [2**e, 2**(e+1)) is 2**(e-6) ns wide, and never less than
 * one; the last, from 2**40 - 2**33 on, has no upper edge (see histogram.h).
 *
 * < slice: one slice of the window, in order. None when the window has not begun.
 *     n=             its number, from 1
 *     messages= latency_sum_ns= latency_max_ns=   as in the result, of the echoes that arrived in
 * it
 *
 * < corrected, < corrected_hist: as above, with latencies from when each ping was due.
 *     rate=          as asked for
 *     late=          pings sent more than 1 ms after they were due
 *     unsent=        pings that were due in the window and never sent
 *     sum_ns=
 *     max_ns=
 *     censored=      pings without an echo at the window's end, or when their connection was lost:
 *                    those still out, and the unsent. They have no latency and are not in the
 *                    histogram
 *     bound_mean_ns= bound_p50_ns= bound_p75_ns= bound_p90_ns= bound_p95_ns= bound_p99_ns=
 *     bound_p999_ns= bound_max_ns=   of all latencies when these are counted with the time since
 *                    they were due: the true ones are no shorter. Percentiles are upper edges of
 *                    buckets
 *
 * < error: code and msg are always there, the others where they apply. A text in double quotes has
 * \" and \\ for a quote and a backslash; bytes that cannot be printed are '?'.
 *     code=          a word of the list below
 *     call=          the system call that failed
 *     addr=          ADDR:PORT that it was about
 *     reason=        quoted: the system's words for the failure
 *     up=            connections that had been established
 *     msg=           quoted: what went wrong, with what, and what to do, for a person
 *
 *     bad_request    the request, or a line after it, is not as described here
 *     unsupported    this server or its kernel cannot do what engine, transport or timestamps ask
 *                    for
 *     forbidden      no token, or not the right one, or an address that may not be tested
 *     busy           a test runs that this one cannot be beside, or the server has no open files
 *                    left
 *     refused        the target refused a connection, or there is no such Unix socket
 *     tls            a TLS handshake failed
 *     pin_mismatch   the certificate is not the one of the pin
 *     timeout        no further connection came up for 30 s, or no `ready` came
 *     unreachable    there is no way to the target, or a rule of this machine forbids it
 *     no_ports       the local ports are used up: fewer connections, or --source
 *     no_files       the open files are used up, or would be: fewer connections, or more threads
 *     stopped        the server was told to end
 *     internal       anything else: no memory, no thread, a failing system call
 *
 * VERSION 1, which is the 2016 experiment's, so that its client runs unchanged. What does not begin
 * with `test ` is such a request: at most 1024 bytes in one segment, without an end mark,
 *
 *     IP PORT CONNS RUNTIME_S MIN_TIMEOUT_NS MAX_TIMEOUT_NS MSIZE
 *
 * seven words with the ranges of addr, port, conns, 1..86400, twice 0..1000000000000, and msize.
 * The timeouts are think times; 0 0 is none. The IP 0.0.0.0 (or ::), which a listener binds to, is
 * the address that the control client comes from. There is no `ready` and no warm-up: the server
 * connects everything, then starts; the listener may have a backlog of three and accept slowly.
 * Every message is the byte X, msize times, and so must the answer be: an echo, or X's of the
 * client's own. The server ignores what else the client sends. It answers with one text, no
 * newline, and closes:
 *
 *     MESSAGES BASE K  b1 n1 ... bK nK  19  p5 p10 ... p95
 *
 * words with one blank between them: n latencies of about BASE**b nanoseconds each, b rising, BASE
 * 2**0.1 as a decimal fraction; then the percentiles of messages per connection. A test that cannot
 * be done is answered with no messages, `0 BASE 0  19  0 ... 0`, and the reason is in the server's
 * log; so is every request to a server with a token. What does not have the form above is answered
 * with the `error` line of version 2.
 */
#ifndef PYBENCH_CONTROL_H
#define PYBENCH_CONTROL_H

enum {
    CONTROL_LINE_MAX = 4096, /* bytes of a line, newline included */
    CONTROL_V1_MAX = 1024,   /* bytes of a version 1 request */
    CONTROL_TOKEN_MAX = 256,
    CONTROL_MSIZE_MAX = 1 << 20,
    CONTROL_INFLIGHT_MAX = 1024,
    CONTROL_PINGS_MAX = 1 << 24, /* in flight over all connections: 8 bytes each */
    CONTROL_THREADS_MAX = 64,
    CONTROL_SLICES_MAX = 1000,
};

#endif
