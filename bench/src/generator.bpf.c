// SPDX-License-Identifier: MIT
/* Runs once per injected frame. The frame is a copy of a template; only what differs from packet to packet is written:
 * the source address, the checksum, the source port. It also keeps the pace, because a system call per batch would
 * wait for a grace period of RCU each time, and it takes the time that the kernel needs for a batch. */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "generator.h"

enum {
	CHECKSUM_AT = 24,
	SOURCE_AT = 26,
	PORT_AT = 34,
	LATE_NS = 2000000,    /* later than this, and the CPU was not ours for a while */
	SPINS_MAX = 1 << 22,
};

const volatile struct settings settings;
__u64 injected, late_batches, windows, first_ns, last_ns; /* begin of the first batch, and of the last */
__u64 due_ns, work_since_ns, window_sum_ns;
__u32 window_batches, window_ns[WINDOWS_MAX];

static long wait_until(__u64 index, void *due)
{
	(void)index;
	return bpf_ktime_get_ns() >= *(__u64 *)due;
}

static void close_batch(__u64 now)
{
	window_sum_ns += now - work_since_ns;
	if (++window_batches < WINDOW)
		return;
	window_ns[windows++ & (WINDOWS_MAX - 1)] = window_sum_ns > 0xffffffff ? 0xffffffff : window_sum_ns;
	window_sum_ns = 0;
	window_batches = 0;
}

static void begin_batch(void)
{
	__u64 now = bpf_ktime_get_ns(), due;
	if (work_since_ns)
		close_batch(now);
	if (settings.batch_interval_ns) {
		due = due_ns ? due_ns + settings.batch_interval_ns : now;
		if (now < due) {
			bpf_loop(SPINS_MAX, wait_until, &due, 0);
			now = bpf_ktime_get_ns();
		} else if (now - due > LATE_NS) {
			/* Making up for it would be a burst that no program under test has asked for. */
			late_batches++;
			due = now;
		}
		due_ns = due;
	}
	work_since_ns = last_ns = now;
	if (!first_ns)
		first_ns = now;
}

SEC("xdp")
int generate(struct xdp_md *context)
{
	unsigned char *frame = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	__u64 number = injected++;
	if (number % BATCH == 0)
		begin_batch();
	if (frame + PORT_AT + 2 > end)
		return XDP_ABORTED;
	/* Odd multiplier, power of two: no two of the first 2^ADDRESS_BITS numbers give the same address. */
	__u32 spread = (__u32)(number % settings.addresses) * 0x9e3779b1u;
	__u32 source = settings.network | (spread & ((1u << ADDRESS_BITS) - 1));
	__u16 port = 1024 + (number / settings.addresses) % settings.ports;
	*(__be32 *)(frame + SOURCE_AT) = bpf_htonl(source);
	*(__be16 *)(frame + PORT_AT) = bpf_htons(port);
	__u32 sum = settings.checksum + (source >> 16) + (source & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	*(__be16 *)(frame + CHECKSUM_AT) = bpf_htons(~sum & 0xffff);
	return XDP_PASS;
}

char licence_name[] SEC("license") = "GPL"; /* bpf_ktime_get_ns is for such programs only */
