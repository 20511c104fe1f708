// SPDX-License-Identifier: MIT
/* The least work that accounts packets of a packet socket's ring: one interface, IPv4, packets and bytes per source address.
 * Nothing is checked that a correct program would have to check, so no correct program is expected below it.
 *
 *   packet_floor [-i INTERFACE] [-p]
 *
 * -p fetches table entries ahead. SIGTERM or SIGINT ends it: it takes what the ring has, then prints one JSON line.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BLOCK_BYTES = 1 << 20,
	BLOCKS = 64,
	RETIRE_MS = 60,
	SNAP_BYTES = 64,
	IP_BYTES = 20,
	PENDING_MAX = 256,
};

struct entry {
	uint32_t address, is_used;
	uint64_t packets, bytes;
};

struct table {
	struct entry *entries;
	uint32_t bits, used;
};

static struct table table;
static int ahead;
static uint64_t packets, bytes;
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

static struct entry *pages(uint32_t bits)
{
	size_t size = sizeof(struct entry) << bits;
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		fail("packet_floor: mmap");
	madvise(at, size, MADV_HUGEPAGE);
	return at;
}

static uint32_t slot_of(uint32_t address)
{
	return (address * 0x9e3779b97f4a7c15ull) >> (64 - table.bits);
}

static void grow(void);

static void add(uint32_t address, uint64_t count, uint64_t length)
{
	uint32_t slot = slot_of(address), mask = (1u << table.bits) - 1;
	while (table.entries[slot].is_used && table.entries[slot].address != address)
		slot = (slot + 1) & mask;
	struct entry *e = &table.entries[slot];
	e->packets += count;
	e->bytes += length;
	if (e->is_used)
		return;
	e->is_used = 1;
	e->address = address;
	if (++table.used > mask / 2)
		grow();
}

static void grow(void)
{
	struct table old = table;
	table = (struct table){.entries = pages(old.bits + 1), .bits = old.bits + 1};
	for (uint32_t i = 0; i < 1u << old.bits; i++)
		if (old.entries[i].is_used)
			add(old.entries[i].address, old.entries[i].packets, old.entries[i].bytes);
	munmap(old.entries, sizeof(struct entry) << old.bits);
}

static void read_block(const struct tpacket_block_desc *block)
{
	static uint32_t pending_address[PENDING_MAX], pending_bytes[PENDING_MAX];
	uint32_t pending = 0;
	const unsigned char *at = (const unsigned char *)block + block->hdr.bh1.offset_to_first_pkt;
	for (uint32_t left = block->hdr.bh1.num_pkts; left; left--) {
		const struct tpacket3_hdr *header = (const void *)at;
		const unsigned char *ip = at + header->tp_net;
		if (header->tp_snaplen >= IP_BYTES && ip[0] >> 4 == 4) {
			uint32_t address, length = ip[2] << 8 | ip[3];
			memcpy(&address, ip + 12, 4);
			packets++;
			bytes += length;
			if (!ahead) {
				add(address, 1, length);
			} else {
				__builtin_prefetch(&table.entries[slot_of(address)], 1);
				pending_address[pending] = address;
				pending_bytes[pending++] = length;
			}
		}
		if (pending == PENDING_MAX || left == 1) {
			for (uint32_t i = 0; i < pending; i++)
				add(pending_address[i], 1, pending_bytes[i]);
			pending = 0;
		}
		at += header->tp_next_offset;
	}
}

static int open_ring(const char *interface, unsigned char **ring)
{
	int version = TPACKET_V3, fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sock_filter cut[] = {BPF_STMT(BPF_RET | BPF_K, SNAP_BYTES)};
	struct sock_fprog program = {1, cut};
	struct tpacket_req3 request = {
		.tp_block_size = BLOCK_BYTES, .tp_block_nr = BLOCKS, .tp_frame_size = 2048,
		.tp_frame_nr = BLOCK_BYTES / 2048 * BLOCKS, .tp_retire_blk_tov = RETIRE_MS,
	};
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = if_nametoindex(interface),
	};
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) ||
	    setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) ||
	    setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request))
		fail("packet_floor: ring");
	*ring = mmap(NULL, (size_t)BLOCK_BYTES * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*ring == MAP_FAILED || bind(fd, (void *)&address, sizeof address))
		fail("packet_floor: bind");
	return fd;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct tpacket_stats_v3 statistics = {0};
	socklen_t length = sizeof statistics;
	const char *interface = "bench0";
	unsigned char *ring;
	int option, fd;
	while ((option = getopt(argc, argv, "i:p")) != -1) {
		switch (option) {
		case 'i': interface = optarg; break;
		case 'p': ahead = 1; break;
		default: return 2;
		}
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	table = (struct table){.entries = pages(12), .bits = 12};
	fd = open_ring(interface, &ring);
	for (uint32_t number = 0;;) {
		struct tpacket_block_desc *block = (void *)(ring + (size_t)number * BLOCK_BYTES);
		if (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) {
			struct pollfd ready = {fd, POLLIN | POLLERR, 0};
			if (poll(&ready, 1, 200) == 0 && stopping)
				break;
			continue;
		}
		read_block(block);
		__atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		number = (number + 1) % BLOCKS;
	}
	getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &length);
	printf("{\"packets\": %lu, \"bytes\": %lu, \"addresses\": %u, \"dropped\": %u}\n", (unsigned long)packets,
	       (unsigned long)bytes, table.used, statistics.tp_drops);
	return 0;
}
