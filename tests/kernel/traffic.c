/* Sends an exact number of UDP packets with IP headers of its own making, at a steady rate.
 *
 *   traffic --from ADDRESS --to ADDRESS [--sources K] [--destinations K] [--ports K] [--source-port P] [--port P]
 *           [--payload BYTES] [--count N | --count 0] [--rate PACKETS_PER_SECOND] [--seconds LIMIT]
 *
 * Sources and destinations count up from the given address, once per packet; all of one family. With --count 0 it sends
 * until SIGTERM or until the limit. It prints what the kernel accepted as one line of JSON:
 * {"packets": N, "bytes": IP total length with the header, "refused": N, "seconds": S}
 * and on standard error "begun" when it has sent something.
 *
 * Raw sockets, because a test of a thousand hosts needs a thousand source addresses and not a thousand interfaces.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, PACKET_MAX = 1500, QUEUED_MAX = 400, MILLISECONDS_MAX = 100 };

struct plan {
    int family;
    uint8_t from[16], to[16];
    unsigned long sources, destinations, ports, source_port, port, payload, count, rate;
    double limit_seconds;
};

static volatile sig_atomic_t stopped;

static void stop(int signal_number) { (void)signal_number; stopped = 1; }

static void fail(const char *what)
{
    fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void rest_until(double moment)
{
    struct timespec t = {.tv_sec = (time_t)moment, .tv_nsec = (long)((moment - (double)(time_t)moment) * 1e9)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL); /* a signal ends the rest early, which is wanted */
}

/* address + step, the last four bytes as one number */
static void advance(uint8_t *out, const uint8_t *address, size_t length, unsigned long step)
{
    uint32_t tail;
    memcpy(out, address, length);
    memcpy(&tail, out + length - 4, 4);
    tail = htonl(ntohl(tail) + (uint32_t)step);
    memcpy(out + length - 4, &tail, 4);
}

static uint32_t sum_words(const uint8_t *bytes, size_t length, uint32_t sum)
{
    for (size_t i = 0; i + 1 < length; i += 2)
        sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
    if (length & 1)
        sum += (uint32_t)(bytes[length - 1] << 8);
    return sum;
}

static size_t header_length(const struct plan *plan) { return plan->family == AF_INET ? 20 : 40; }

static size_t build(const struct plan *plan, unsigned long number, uint8_t *packet, struct sockaddr_storage *destination)
{
    size_t address = plan->family == AF_INET ? 4 : 16, header = header_length(plan), udp_length = 8 + plan->payload;
    uint8_t from[16], to[16];
    advance(from, plan->from, address, number % plan->sources);
    advance(to, plan->to, address, number / plan->sources % plan->destinations);
    memset(packet, 0, header + 8);
    if (plan->family == AF_INET) {
        struct iphdr *ip = (struct iphdr *)packet;
        struct sockaddr_in *peer = (struct sockaddr_in *)destination;
        *ip = (struct iphdr){.ihl = 5, .version = 4, .tot_len = htons((uint16_t)(20 + udp_length)), .ttl = 64,
                             .protocol = IPPROTO_UDP, .id = htons((uint16_t)(number | 1))};
        memcpy(&ip->saddr, from, 4);
        memcpy(&ip->daddr, to, 4);
        *peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = ip->daddr};
    } else {
        struct ip6_hdr *ip = (struct ip6_hdr *)packet;
        struct sockaddr_in6 *peer = (struct sockaddr_in6 *)destination;
        ip->ip6_flow = htonl(6u << 28);
        ip->ip6_plen = htons((uint16_t)udp_length);
        ip->ip6_nxt = IPPROTO_UDP;
        ip->ip6_hlim = 64;
        memcpy(&ip->ip6_src, from, 16);
        memcpy(&ip->ip6_dst, to, 16);
        *peer = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = ip->ip6_dst};
    }
    struct udphdr *udp = (struct udphdr *)(packet + header);
    udp->source = htons((uint16_t)(plan->source_port + number % plan->ports));
    udp->dest = htons((uint16_t)plan->port);
    udp->len = htons((uint16_t)udp_length);
    uint32_t sum = sum_words(from, address, sum_words(to, address, IPPROTO_UDP + (uint32_t)udp_length));
    sum = sum_words((uint8_t *)udp, udp_length, sum);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    udp->check = htons((uint16_t)~sum ? (uint16_t)~sum : 0xffff);
    return header + udp_length;
}

static int open_socket(const struct plan *plan)
{
    int one = 1, buffer = 8 << 20;
    int fd = socket(plan->family, SOCK_RAW, IPPROTO_RAW); /* IPPROTO_RAW implies that we write the header */
    if (fd < 0)
        fail("socket");
    if (plan->family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_HDRINCL, &one, sizeof one) < 0)
        fail("IPV6_HDRINCL");
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) < 0)
        fail("SO_SNDBUFFORCE");
    return fd;
}

/* Packets in the fullest of the queues between veths, one for each CPU. */
static unsigned long queued(int file)
{
    static char text[65536];
    unsigned long most = 0, here;
    ssize_t length = pread(file, text, sizeof text - 1, 0);
    text[length < 0 ? 0 : length] = 0;
    for (char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
        if (sscanf(line, "%*x %*x %*x %*x %*x %*x %*x %*x %*x %*x %*x %lx", &here) == 1 && here > most)
            most = here;
    return most;
}

/* What finds a thousand packets there (net.core.netdev_max_backlog) is dropped before anybody counts it, and a busy machine
 * is slow to work them off. */
static void wait_for_room(int file)
{
    double end = now() + MILLISECONDS_MAX / 1e3;
    while (file >= 0 && !stopped && queued(file) > QUEUED_MAX && now() < end)
        rest_until(now() + 1e-4);
}

static void run(const struct plan *plan)
{
    static uint8_t packets[BATCH][PACKET_MAX];
    static struct sockaddr_storage peers[BATCH];
    struct iovec pieces[BATCH];
    struct mmsghdr messages[BATCH];
    unsigned long sent = 0, refused = 0, number = 0;
    unsigned batch = plan->rate && plan->rate < 10000 ? 1 : BATCH;
    int fd = open_socket(plan), queues = open("/proc/net/softnet_stat", O_RDONLY);
    double start = now(), finish = start;
    while (!stopped && (plan->count == 0 || number < plan->count)) {
        double due = plan->rate ? start + (double)number / (double)plan->rate : start;
        if (due - start > plan->limit_seconds || now() - start > plan->limit_seconds)
            break;
        if (due > now())
            rest_until(due);
        if (number % BATCH == 0)
            wait_for_room(queues);
        unsigned wanted = plan->count && plan->count - number < batch ? (unsigned)(plan->count - number) : batch;
        for (unsigned i = 0; i < wanted; i++) {
            pieces[i] = (struct iovec){packets[i], build(plan, number + i, packets[i], &peers[i])};
            messages[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &peers[i], .msg_iov = &pieces[i], .msg_iovlen = 1,
                .msg_namelen = plan->family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)}};
        }
        for (unsigned done = 0; done < wanted;) {
            int accepted = sendmmsg(fd, messages + done, wanted - done, 0);
            if (accepted < 0 && errno == EINTR)
                continue;
            if (accepted < 0 && errno != ENOBUFS && errno != EPERM)
                fail("sendmmsg");
            if (accepted <= 0) { /* ENOBUFS: the device queue is full; EPERM: a rule of the sender's own machine dropped it */
                refused++, done++;
            } else {
                sent += (unsigned long)accepted;
                done += (unsigned)accepted;
            }
        }
        if (number == 0)
            fputs("begun\n", stderr);
        number += wanted;
        finish = now();
    }
    printf("{\"packets\": %lu, \"bytes\": %lu, \"refused\": %lu, \"seconds\": %.6f}\n", sent,
           sent * (header_length(plan) + 8 + plan->payload), refused, finish - start);
}

static unsigned long number_of(const char *text)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || *end || end == text) {
        fprintf(stderr, "traffic: not a number: %s\n", text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    struct plan plan = {.sources = 1, .destinations = 1, .ports = 1, .source_port = 20000, .port = 9000, .payload = 72,
                        .count = 1, .rate = 0, .limit_seconds = 60};
    const char *from = NULL, *to = NULL;
    unsigned long *numbers[] = {['s'] = &plan.sources, ['d'] = &plan.destinations, ['k'] = &plan.ports,
                                ['q'] = &plan.source_port, ['p'] = &plan.port, ['l'] = &plan.payload,
                                ['n'] = &plan.count, ['r'] = &plan.rate};
    static const struct option options[] = {
        {"from", 1, NULL, 'f'}, {"to", 1, NULL, 't'}, {"sources", 1, NULL, 's'}, {"destinations", 1, NULL, 'd'},
        {"ports", 1, NULL, 'k'}, {"source-port", 1, NULL, 'q'}, {"port", 1, NULL, 'p'}, {"payload", 1, NULL, 'l'},
        {"count", 1, NULL, 'n'}, {"rate", 1, NULL, 'r'}, {"seconds", 1, NULL, 'x'}, {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'f')
            from = optarg;
        else if (option == 't')
            to = optarg;
        else if (option == 'x')
            plan.limit_seconds = strtod(optarg, NULL);
        else if (option == '?')
            return 2;
        else
            *numbers[option] = number_of(optarg);
    }
    plan.family = from && strchr(from, ':') ? AF_INET6 : AF_INET;
    if (!from || !to || inet_pton(plan.family, from, plan.from) != 1 || inet_pton(plan.family, to, plan.to) != 1 ||
        !plan.sources || !plan.destinations || !plan.ports || plan.payload + 48 > PACKET_MAX) {
        fprintf(stderr, "traffic: --from and --to take addresses of one family; sizes are 1 at least, payload fits 1500\n");
        return 2;
    }
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    run(&plan);
    return 0;
}
