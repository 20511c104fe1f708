// SPDX-License-Identifier: MIT
/* The least work that accounts NFLOG packets: one group, IPv4, packets and bytes per source address. Nothing is checked
 * that a correct program would have to check, so no correct program is expected below it.
 *
 *   nflog_floor [-g GROUP] [-b KERNEL_BUFFER_BYTES] [-e GATHER_MS] [-n]
 *
 * -e waits that long whenever the queue is empty and then takes all there is; -n leaves prefetching out. SIGTERM or SIGINT
 * ends it: it takes what is queued, then prints one JSON line.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
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

enum {
	RECEIVE_BYTES = 512 << 10, /* the kernel rounds its buffer up: 128 KiB asked for arrive as up to 256 KiB */
	SOCKET_BYTES = 64 << 20,
	PENDING_MAX = 4096,
	COPY_RANGE = 20,
};

struct entry {
	uint32_t address, is_used;
	uint64_t packets, bytes;
};

struct table {
	struct entry *entries;
	uint32_t bits, used;
};

struct reader {
	int fd, prefetch;
	unsigned group, kernel_buffer_bytes, gather_ms;
	struct table table;
	uint64_t packets, bytes, gap, overruns, receives;
	uint32_t next_sequence;
	uint32_t pending_address[PENDING_MAX], pending_bytes[PENDING_MAX], pending;
};

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

static void *pages(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		fail("mmap");
	madvise(at, size, MADV_HUGEPAGE);
	return at;
}

static void table_make(struct table *t, uint32_t bits)
{
	*t = (struct table){.bits = bits, .entries = pages(sizeof(struct entry) << bits)};
}

static uint32_t slot_of(const struct table *t, uint32_t address)
{
	return (address * 0x9e3779b97f4a7c15ull) >> (64 - t->bits);
}

static void table_grow(struct table *t);

static void table_add(struct table *t, uint32_t address, uint64_t packets, uint64_t bytes)
{
	uint32_t slot = slot_of(t, address), mask = (1u << t->bits) - 1;
	while (t->entries[slot].is_used && t->entries[slot].address != address)
		slot = (slot + 1) & mask;
	struct entry *e = &t->entries[slot];
	e->packets += packets;
	e->bytes += bytes;
	if (e->is_used)
		return;
	e->is_used = 1;
	e->address = address;
	if (++t->used > mask / 2)
		table_grow(t);
}

static void table_grow(struct table *t)
{
	struct table old = *t;
	table_make(t, old.bits + 1);
	for (uint32_t i = 0; i < 1u << old.bits; i++)
		if (old.entries[i].is_used)
			table_add(t, old.entries[i].address, old.entries[i].packets, old.entries[i].bytes);
	munmap(old.entries, sizeof(struct entry) << old.bits);
}

static void post_pending(struct reader *r)
{
	for (uint32_t i = 0; i < r->pending; i++)
		table_add(&r->table, r->pending_address[i], 1, r->pending_bytes[i]);
	r->pending = 0;
}

static void account(struct reader *r, const unsigned char *ip)
{
	uint32_t address, bytes = ip[2] << 8 | ip[3];
	memcpy(&address, ip + 12, 4);
	r->packets++;
	r->bytes += bytes;
	if (!r->prefetch) {
		table_add(&r->table, address, 1, bytes);
		return;
	}
	if (r->pending == PENDING_MAX)
		post_pending(r);
	__builtin_prefetch(&r->table.entries[slot_of(&r->table, address)], 1);
	r->pending_address[r->pending] = address;
	r->pending_bytes[r->pending++] = bytes;
}

static void packet(struct reader *r, const unsigned char *at, const unsigned char *end)
{
	while (at + NLA_HDRLEN <= end) {
		const struct nlattr *attribute = (const void *)at;
		const unsigned char *value = at + NLA_HDRLEN;
		int type = attribute->nla_type & NLA_TYPE_MASK;
		if (attribute->nla_len < NLA_HDRLEN)
			return;
		if (type == NFULA_SEQ) {
			uint32_t sequence;
			memcpy(&sequence, value, sizeof sequence);
			sequence = ntohl(sequence);
			r->gap += sequence - r->next_sequence;
			r->next_sequence = sequence + 1;
		} else if (type == NFULA_PAYLOAD && attribute->nla_len >= NLA_HDRLEN + COPY_RANGE && value[0] >> 4 == 4) {
			account(r, value);
		}
		at += NLA_ALIGN(attribute->nla_len);
	}
}

/* Returns the errno of an acknowledgement, or -1 when there was none. */
static int datagram(struct reader *r, const unsigned char *buffer, int length)
{
	int acknowledged = -1;
	for (const struct nlmsghdr *m = (const void *)buffer; NLMSG_OK(m, length); m = NLMSG_NEXT(m, length)) {
		if (m->nlmsg_type == NLMSG_ERROR)
			acknowledged = -((const struct nlmsgerr *)NLMSG_DATA(m))->error;
		else if (m->nlmsg_type == (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET))
			packet(r, (const unsigned char *)NLMSG_DATA(m) + sizeof(struct nfgenmsg),
			       (const unsigned char *)m + m->nlmsg_len);
	}
	post_pending(r);
	return acknowledged;
}

static void configure(struct reader *r, unsigned char *buffer, int type, const void *value, int length)
{
	_Alignas(8) unsigned char request[64] = {0};
	struct nlmsghdr *header = (void *)request;
	struct nfgenmsg *general = NLMSG_DATA(header);
	struct nlattr *attribute = (void *)(general + 1);
	int acknowledged = -1;
	general->res_id = htons(r->group);
	attribute->nla_type = type;
	attribute->nla_len = NLA_HDRLEN + length;
	memcpy(attribute + 1, value, length);
	header->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	header->nlmsg_len = NLMSG_LENGTH(sizeof *general) + NLA_ALIGN(attribute->nla_len);
	if (send(r->fd, request, header->nlmsg_len, 0) < 0)
		fail("nflog_floor: send");
	while (acknowledged < 0) { /* packets may come before the answer */
		int length_received = recv(r->fd, buffer, RECEIVE_BYTES, 0);
		if (length_received < 0)
			fail("nflog_floor: recv");
		acknowledged = datagram(r, buffer, length_received);
	}
	errno = acknowledged;
	if (errno)
		fail("nflog_floor: configure");
}

static void bind_group(struct reader *r, unsigned char *buffer)
{
	struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	struct nfulnl_msg_config_cmd command = {.command = NFULNL_CFG_CMD_BIND};
	struct nfulnl_msg_config_mode mode = {.copy_range = htonl(COPY_RANGE), .copy_mode = NFULNL_COPY_PACKET};
	uint32_t kernel_buffer = htonl(r->kernel_buffer_bytes), no_threshold = htonl(65535), centiseconds = htonl(10);
	uint16_t numbered = htons(NFULNL_CFG_F_SEQ);
	int bytes = SOCKET_BYTES;
	r->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (r->fd < 0 || bind(r->fd, (void *)&any, sizeof any))
		fail("nflog_floor: socket");
	if (setsockopt(r->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes))
		fail("nflog_floor: receive buffer");
	configure(r, buffer, NFULA_CFG_CMD, &command, sizeof command);
	configure(r, buffer, NFULA_CFG_FLAGS, &numbered, sizeof numbered);
	configure(r, buffer, NFULA_CFG_NLBUFSIZ, &kernel_buffer, sizeof kernel_buffer);
	configure(r, buffer, NFULA_CFG_QTHRESH, &no_threshold, sizeof no_threshold);
	configure(r, buffer, NFULA_CFG_TIMEOUT, &centiseconds, sizeof centiseconds);
	configure(r, buffer, NFULA_CFG_MODE, &mode, sizeof mode);
}

static void wait_for_more(const struct reader *r)
{
	struct timespec pause = {.tv_nsec = r->gather_ms * 1000000l};
	nanosleep(&pause, NULL);
}

static void read_until_stopped(struct reader *r, unsigned char *buffer)
{
	struct timeval patience = {.tv_usec = 100000};
	int flags = r->gather_ms ? MSG_DONTWAIT : 0;
	setsockopt(r->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	for (;;) {
		int length = recv(r->fd, buffer, RECEIVE_BYTES, flags);
		if (length >= 0) {
			r->receives++;
			datagram(r, buffer, length);
		} else if (errno == ENOBUFS) {
			r->overruns++;
		} else if (errno == EAGAIN && stopping) {
			return;
		} else if (errno == EAGAIN && r->gather_ms) {
			wait_for_more(r);
		} else if (errno != EAGAIN && errno != EINTR) {
			fail("nflog_floor: recv");
		}
	}
}

int main(int argc, char **argv)
{
	static struct reader r = {.group = 4, .kernel_buffer_bytes = 128 << 10, .prefetch = 1};
	struct sigaction action = {.sa_handler = on_signal};
	int option;
	while ((option = getopt(argc, argv, "g:b:e:n")) != -1) {
		switch (option) {
		case 'g': r.group = strtoul(optarg, NULL, 10); break;
		case 'b': r.kernel_buffer_bytes = strtoul(optarg, NULL, 10); break;
		case 'e': r.gather_ms = strtoul(optarg, NULL, 10); break;
		case 'n': r.prefetch = 0; break;
		default: return 2;
		}
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	unsigned char *buffer = pages(RECEIVE_BYTES);
	table_make(&r.table, 12);
	bind_group(&r, buffer);
	read_until_stopped(&r, buffer);
	printf("{\"packets\": %lu, \"bytes\": %lu, \"addresses\": %u, \"gap\": %lu, \"overruns\": %lu, \"receives\": %lu}\n",
	       (unsigned long)r.packets, (unsigned long)r.bytes, r.table.used, (unsigned long)r.gap,
	       (unsigned long)r.overruns, (unsigned long)r.receives);
	return 0;
}
