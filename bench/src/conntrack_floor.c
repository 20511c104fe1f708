// SPDX-License-Identifier: MIT
/* The least work that accounts the flows of conntrack: IPv4, packets and bytes per original source address, from a dump or
 * from events at the end of flows. It keeps no flow, knows no delta and checks next to nothing.
 *
 *   conntrack_floor dump [-n TIMES]
 *   conntrack_floor events [-r BUFFER_BYTES] [-e GATHER_MS]
 *
 * A dump prints one JSON line each time. Events are read until SIGTERM or SIGINT, then one line is printed: what is queued is
 * taken by one call of recvmmsg for up to 512 of them, and -e waits that long whenever there is nothing.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PART_BYTES = 64 << 10, EVENTS = 512, EVENT_BYTES = 1024, TABLE_BITS = 18 };

struct entry {
	uint32_t address, is_used;
	uint64_t packets, bytes;
};

struct flow {
	uint32_t source;
	uint64_t packets, bytes;
};

static struct entry *table;
static uint64_t flows, packets, bytes, receives, overruns;
static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
	(void)number;
	stopping = 1;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t cpu_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static void make_table(void)
{
	size_t size = sizeof *table << TABLE_BITS;
	table = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (table == MAP_FAILED)
		fail("mmap");
	madvise(table, size, MADV_HUGEPAGE);
}

static void add(const struct flow *f)
{
	uint32_t mask = (1u << TABLE_BITS) - 1;
	uint32_t at = (f->source * 2654435769u) >> (32 - TABLE_BITS);
	while (table[at].is_used && table[at].address != f->source)
		at = (at + 1) & mask;
	table[at].is_used = 1;
	table[at].address = f->source;
	table[at].packets += f->packets;
	table[at].bytes += f->bytes;
}

static int kind_of(const struct nlattr *a)
{
	return a->nla_type & NLA_TYPE_MASK;
}

static const char *value_of(const struct nlattr *a)
{
	return (const char *)a + NLA_HDRLEN;
}

#define EACH(a, start, end) \
	for (const struct nlattr *a = (const void *)(start); (const char *)a + NLA_HDRLEN <= (const char *)(end) && \
	     a->nla_len >= NLA_HDRLEN; a = (const void *)((const char *)a + NLA_ALIGN(a->nla_len)))
#define END(a) ((const char *)(a) + (a)->nla_len)

static void read_tuple(const struct nlattr *tuple, struct flow *f)
{
	EACH(part, value_of(tuple), END(tuple)) {
		if (kind_of(part) != CTA_TUPLE_IP)
			continue;
		EACH(ip, value_of(part), END(part)) {
			if (kind_of(ip) == CTA_IP_V4_SRC)
				memcpy(&f->source, value_of(ip), 4);
		}
	}
}

static void read_counters(const struct nlattr *counters, struct flow *f)
{
	uint64_t number;
	EACH(a, value_of(counters), END(counters)) {
		memcpy(&number, value_of(a), 8);
		if (kind_of(a) == CTA_COUNTERS_PACKETS)
			f->packets += be64toh(number);
		else if (kind_of(a) == CTA_COUNTERS_BYTES)
			f->bytes += be64toh(number);
	}
}

static void read_flow(const struct nlmsghdr *message)
{
	struct flow f = {0};
	const char *start = (const char *)message + NLMSG_LENGTH(sizeof(struct nfgenmsg));
	EACH(a, start, (const char *)message + message->nlmsg_len) {
		switch (kind_of(a)) {
		case CTA_TUPLE_ORIG:
			read_tuple(a, &f);
			break;
		case CTA_COUNTERS_ORIG:
		case CTA_COUNTERS_REPLY:
			read_counters(a, &f);
			break;
		}
	}
	flows++;
	packets += f.packets;
	bytes += f.bytes;
	add(&f);
}

/* Whether it was the last part. */
static int read_part(const char *part, int length)
{
	for (const struct nlmsghdr *m = (const void *)part; NLMSG_OK(m, length); m = NLMSG_NEXT(m, length)) {
		if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR)
			return 1;
		if (m->nlmsg_type >> 8 == NFNL_SUBSYS_CTNETLINK)
			read_flow(m);
	}
	return 0;
}

static void print(uint64_t used_ns)
{
	printf("{\"flows\": %llu, \"packets\": %llu, \"bytes\": %llu, \"receives\": %llu, \"overruns\": %llu, \"cpu_ns\": %llu}\n",
	       (unsigned long long)flows, (unsigned long long)packets, (unsigned long long)bytes,
	       (unsigned long long)receives, (unsigned long long)overruns, (unsigned long long)used_ns);
	fflush(stdout);
}

static void dump(int fd)
{
	static char part[PART_BYTES];
	struct {
		struct nlmsghdr header;
		struct nfgenmsg generic;
	} request = {.header = {.nlmsg_len = sizeof request,
				.nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET,
				.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
	uint64_t before = cpu_ns();
	flows = packets = bytes = receives = 0;
	if (send(fd, &request, sizeof request, 0) < 0)
		fail("send");
	for (int length; (length = recv(fd, part, sizeof part, 0)) >= 0;) {
		receives++;
		if (read_part(part, length)) {
			print(cpu_ns() - before);
			return;
		}
	}
	fail("recv");
}

static void events(int fd, int buffer_bytes, unsigned gather_ms)
{
	static struct mmsghdr messages[EVENTS];
	static struct iovec parts[EVENTS];
	static char slots[EVENTS][EVENT_BYTES];
	int group = NFNLGRP_CONNTRACK_DESTROY;
	struct timeval wait = {.tv_usec = 50000};

	for (int i = 0; i < EVENTS; i++) {
		parts[i] = (struct iovec){slots[i], EVENT_BYTES};
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof buffer_bytes) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group))
		fail("setsockopt");
	fprintf(stderr, "ready\n");
	for (int is_full = 0;;) {
		if (gather_ms && !is_full)
			usleep(gather_ms * 1000);
		int count = recvmmsg(fd, messages, EVENTS, MSG_WAITFORONE, NULL);
		is_full = count == EVENTS;
		if (count < 0 && errno == ENOBUFS)
			overruns++;
		else if (count < 0 && stopping)
			break;
		for (int i = 0; i < count; i++)
			read_part(slots[i], messages[i].msg_len);
		receives += count > 0;
	}
	print(cpu_ns());
}

int main(int argc, char **argv)
{
	int times = 1, buffer_bytes = 256 << 20, gather_ms = 0, option;
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
	struct sigaction action = {.sa_handler = on_signal};
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};

	/* Without an address of its own a socket gets no events. */
	if (fd < 0 || bind(fd, (void *)&address, sizeof address))
		fail("socket");
	while ((option = getopt(argc, argv, "n:r:e:")) != -1) {
		switch (option) {
		case 'n': times = atoi(optarg); break;
		case 'r': buffer_bytes = atoi(optarg); break;
		case 'e': gather_ms = atoi(optarg); break;
		default: return 2;
		}
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	make_table();
	if (optind < argc && !strcmp(argv[optind], "events"))
		events(fd, buffer_bytes, gather_ms);
	else
		while (times-- > 0)
			dump(fd);
	return 0;
}
