// The least that reading named counters can cost: one dump by netlink, the numbers added up, nothing kept.
//
//     counters_floor nfacct REPEATS
//     counters_floor TABLE REPEATS         named counters of a table of family ip
//
// One line of JSON for each dump: entries, CPU nanoseconds of this process (the kernel's part included), and the sums.
#define _GNU_SOURCE
#include <endian.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_acct.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[65536] __attribute__((aligned(8)));
static uint64_t entries, packets, octets;

static uint64_t cpu_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t big_endian(const char *value)
{
	uint64_t number;
	memcpy(&number, value, sizeof number);
	return be64toh(number);
}

// Attributes of `wanted` kinds among those between two places; a nested one is gone into.
static void take(const char *at, const char *end, int nested, int kind_packets, int kind_octets)
{
	while (end - at >= (long)sizeof(struct nlattr)) {
		const struct nlattr *attribute = (const void *)at;
		int kind = attribute->nla_type & NLA_TYPE_MASK;
		const char *value = at + NLA_HDRLEN;
		if (attribute->nla_len < NLA_HDRLEN || at + attribute->nla_len > end)
			return;
		if (nested && kind == nested)
			take(value, at + attribute->nla_len, 0, kind_packets, kind_octets);
		else if (!nested && kind == kind_packets)
			packets += big_endian(value);
		else if (!nested && kind == kind_octets)
			octets += big_endian(value);
		at += NLA_ALIGN(attribute->nla_len);
	}
}

// Whether there is more to come.
static int read_part(ssize_t length, int is_nfacct)
{
	for (struct nlmsghdr *one = (void *)buffer; NLMSG_OK(one, length); one = NLMSG_NEXT(one, length)) {
		if (one->nlmsg_type == NLMSG_DONE)
			return 0;
		if (one->nlmsg_type == NLMSG_ERROR) {
			fprintf(stderr, "the kernel refuses: %d\n", ((struct nlmsgerr *)NLMSG_DATA(one))->error);
			exit(1);
		}
		const char *start = (const char *)NLMSG_DATA(one) + NLMSG_ALIGN(sizeof(struct nfgenmsg));
		const char *end = (const char *)one + one->nlmsg_len;
		entries++;
		if (is_nfacct)
			take(start, end, 0, NFACCT_PKTS, NFACCT_BYTES);
		else
			take(start, end, NFTA_OBJ_DATA, NFTA_COUNTER_PACKETS, NFTA_COUNTER_BYTES);
	}
	return 1;
}

int main(int count, char **words)
{
	if (count != 3)
		return 2;
	int is_nfacct = !strcmp(words[1], "nfacct");
	int wire = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (wire < 0) {
		perror("socket");
		return 1;
	}
	for (int turn = 0; turn < atoi(words[2]); turn++) {
		struct {
			struct nlmsghdr head;
			struct nfgenmsg family;
			char attributes[256];
		} ask = {0};
		ask.head.nlmsg_len = NLMSG_LENGTH(sizeof ask.family);
		ask.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
		if (is_nfacct) {
			ask.head.nlmsg_type = NFNL_SUBSYS_ACCT << 8 | NFNL_MSG_ACCT_GET;
		} else {
			struct nlattr *table = (void *)ask.attributes;
			size_t size = strlen(words[1]) + 1;
			if (size > sizeof ask.attributes - NLA_HDRLEN)
				return 2;
			ask.head.nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETOBJ;
			ask.family.nfgen_family = AF_INET;
			table->nla_type = NFTA_OBJ_TABLE;
			table->nla_len = (uint16_t)(NLA_HDRLEN + size);
			memcpy(ask.attributes + NLA_HDRLEN, words[1], size);
			ask.head.nlmsg_len += (uint32_t)NLA_ALIGN(table->nla_len);
		}
		entries = packets = octets = 0;
		uint64_t before = cpu_ns();
		if (send(wire, &ask, ask.head.nlmsg_len, 0) < 0) {
			perror("send");
			return 1;
		}
		ssize_t length;
		do {
			length = recv(wire, buffer, sizeof buffer, 0);
			if (length < 0) {
				perror("recv");
				return 1;
			}
		} while (read_part(length, is_nfacct));
		printf("{\"entries\": %llu, \"cpu_ns\": %llu, \"packets\": %llu, \"bytes\": %llu}\n", (unsigned long long)entries,
		       (unsigned long long)(cpu_ns() - before), (unsigned long long)packets, (unsigned long long)octets);
	}
	return 0;
}
