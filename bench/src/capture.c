// SPDX-License-Identifier: MIT
/* Writes a pcap file of UDP packets, 64 bytes each on the wire, from ADDRESSES sources in turn; prints the IP bytes.
 *
 *   capture FILE PACKETS ADDRESSES
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME = 64, ETHERNET = 14, IP_BYTES = FRAME - ETHERNET };

struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, snap_bytes, link_type;
};

struct record {
	uint32_t seconds, microseconds, captured_bytes, wire_bytes;
	unsigned char frame[FRAME];
};

static void put(unsigned char *at, uint32_t value, int bytes)
{
	while (bytes--) {
		at[bytes] = value;
		value >>= 8;
	}
}

static void fill(struct record *r, uint64_t number, uint32_t addresses)
{
	unsigned char *ip = r->frame + ETHERNET;
	uint32_t source = 10u << 24 | ((uint32_t)(number % addresses) * 0x9e3779b1u & 0xffffff), sum = 0;
	r->seconds = 1700000000 + number / 1000000;
	r->microseconds = number % 1000000;
	put(ip + 10, 0, 2);
	put(ip + 12, source, 4);
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	put(ip + 10, ~sum & 0xffff, 2);
}

int main(int argc, char **argv)
{
	if (argc != 4 || !strtoul(argv[3], NULL, 10)) {
		fprintf(stderr, "usage: capture FILE PACKETS ADDRESSES\n");
		return 2;
	}
	FILE *file = fopen(argv[1], "wb");
	uint64_t packets = strtoull(argv[2], NULL, 10);
	struct file_header header = {0xa1b2c3d4, 2, 4, 0, 0, 65535, 1};
	struct record r = {.captured_bytes = FRAME, .wire_bytes = FRAME};
	unsigned char *ip = r.frame + ETHERNET;
	memcpy(r.frame, (unsigned char[]){2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}, ETHERNET);
	put(ip, 0x45, 1);
	put(ip + 2, IP_BYTES, 2);
	put(ip + 8, 64 << 8 | 17, 2);
	put(ip + 16, 192u << 24 | 168 << 16 | 77 << 8 | 1, 4);
	put(ip + 20, 1024, 2);
	put(ip + 22, 9, 2);
	put(ip + 24, IP_BYTES - 20, 2);
	if (!file || fwrite(&header, sizeof header, 1, file) != 1) {
		perror(argv[1]);
		return 1;
	}
	for (uint64_t i = 0; i < packets; i++) {
		fill(&r, i, strtoul(argv[3], NULL, 10));
		if (fwrite(&r, sizeof r, 1, file) != 1)
			break;
	}
	if (ferror(file) || fclose(file)) {
		perror(argv[1]);
		return 1;
	}
	printf("%llu\n", (unsigned long long)packets * IP_BYTES);
	return 0;
}
