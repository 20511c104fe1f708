// SPDX-License-Identifier: MIT
/* Injects exactly COUNT packets into the receive path of an interface, from inside the kernel, as its driver would.
 * One JSON line says what happened. Needs root and a kernel >= 5.18 (live frames of BPF_PROG_TEST_RUN).
 *
 *   generator -i INTERFACE -t DESTINATION [-n COUNT] [-k ADDRESSES] [-p PORTS] [-r PACKETS_PER_SECOND] [-c CPU] [-s SECONDS_MAX]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "generator.h"
#include "generator.skel.h"

enum { ETHERNET = 14, UDP = 8, PAYLOAD = 22, FRAME_MAX = 128 };

struct options {
	const char *interface, *destination;
	unsigned count, addresses, ports, rate, cpu, seconds_max;
};

struct frame {
	unsigned char bytes[FRAME_MAX];
	unsigned length;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void put16(unsigned char *at, unsigned value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static void write_ethernet(struct frame *f, const char *interface)
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request))
		fail(interface);
	close(fd);
	memcpy(f->bytes, request.ifr_hwaddr.sa_data, 6);
	memcpy(f->bytes + 6, (unsigned char[]){2, 0, 0, 0, 0, 9}, 6);
	put16(f->bytes + 12, 0x0800);
}

static void write_ipv4(struct frame *f, const struct in_addr *destination)
{
	unsigned char *ip = f->bytes + ETHERNET;
	ip[0] = 0x45;
	put16(ip + 2, 20 + UDP + PAYLOAD);
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	memcpy(ip + 16, destination, 4);
	f->length = ETHERNET + 20 + UDP + PAYLOAD;
}

static struct frame template(const struct options *o)
{
	struct frame f = {0};
	struct in_addr destination;
	if (inet_pton(AF_INET, o->destination, &destination) != 1) {
		fprintf(stderr, "generator: %s: not an IPv4 address\n", o->destination);
		exit(2);
	}
	write_ethernet(&f, o->interface);
	write_ipv4(&f, &destination);
	unsigned char *udp = f.bytes + f.length - UDP - PAYLOAD;
	put16(udp + 2, 9);
	put16(udp + 4, UDP + PAYLOAD);
	return f;
}

static unsigned header_sum(const struct frame *f)
{
	unsigned sum = 0;
	for (int i = 0; i < 20; i += 2)
		sum += f->bytes[ETHERNET + i] << 8 | f->bytes[ETHERNET + i + 1];
	return sum;
}

static struct generator_bpf *load(const struct options *o, const struct frame *f)
{
	struct generator_bpf *g = generator_bpf__open();
	if (!g)
		fail("generator: open");
	struct settings *s = (struct settings *)&g->rodata->settings;
	s->addresses = o->addresses;
	s->ports = o->ports;
	s->network = 10u << 24;
	s->checksum = header_sum(f);
	s->batch_interval_ns = o->rate ? BATCH * 1000000000ull / o->rate : 0;
	if (generator_bpf__load(g))
		fail("generator: load");
	return g;
}

/* From the first packet to the last; setting up and taking down are no traffic. */
static double traffic_seconds(const struct generator_bpf *g)
{
	double batches = (double)((g->bss->injected + BATCH - 1) / BATCH);
	double between = (g->bss->last_ns - g->bss->first_ns) / 1e9;
	return batches > 1 ? between * batches / (batches - 1) : between;
}

static int ascending(const void *a, const void *b)
{
	__u32 x = *(const __u32 *)a, y = *(const __u32 *)b;
	return (x > y) - (x < y);
}

/* The tenth percentile of the windows: what a packet costs on a CPU that nobody else disturbs. */
static double packet_ns(struct generator_bpf *g)
{
	unsigned n = g->bss->windows < WINDOWS_MAX ? g->bss->windows : WINDOWS_MAX;
	if (n == 0)
		return -1;
	qsort(g->bss->window_ns, n, sizeof(__u32), ascending);
	return (double)g->bss->window_ns[n / 10] / (WINDOW * BATCH);
}

static void wake(int signal_number)
{
	(void)signal_number;
}

static int inject(struct generator_bpf *g, const struct options *o, struct frame *f)
{
	struct xdp_md context = {.data_end = f->length, .ingress_ifindex = if_nametoindex(o->interface)};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = f->bytes, .data_size_in = f->length, .ctx_in = &context,
		    .ctx_size_in = sizeof context, .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH,
		    .repeat = (int)o->count);
	struct sigaction action = {.sa_handler = wake};
	sigaction(SIGALRM, &action, NULL);
	alarm(o->seconds_max);
	if (bpf_prog_test_run_opts(bpf_program__fd(g->progs.generate), &run) && errno != EINTR)
		fail("generator: run");
	printf("{\"packets\": %llu, \"seconds\": %.6f, \"packet_ns\": %.1f, \"late_batches\": %llu, \"ip_bytes\": %u}\n",
	       (unsigned long long)g->bss->injected, traffic_seconds(g), packet_ns(g), (unsigned long long)g->bss->late_batches,
	       f->length - ETHERNET);
	return g->bss->injected == o->count ? 0 : 3;
}

int main(int argc, char **argv)
{
	struct options o = {.count = 1000000, .addresses = 1000, .ports = 1, .seconds_max = 60};
	int option;
	while ((option = getopt(argc, argv, "i:t:n:k:p:r:c:s:")) != -1) {
		switch (option) {
		case 'i': o.interface = optarg; break;
		case 't': o.destination = optarg; break;
		case 'n': o.count = strtoul(optarg, NULL, 10); break;
		case 'k': o.addresses = strtoul(optarg, NULL, 10); break;
		case 'p': o.ports = strtoul(optarg, NULL, 10); break;
		case 'r': o.rate = strtoul(optarg, NULL, 10); break;
		case 'c': o.cpu = strtoul(optarg, NULL, 10); break;
		case 's': o.seconds_max = strtoul(optarg, NULL, 10); break;
		default: return 2;
		}
	}
	if (!o.interface || !o.destination || !o.addresses || o.addresses > 1u << ADDRESS_BITS || !o.ports || o.ports > 60000) {
		fprintf(stderr, "usage: generator -i INTERFACE -t DESTINATION [-n COUNT] [-k ADDRESSES] [-p PORTS] [-r RATE] "
				"[-c CPU] [-s SECONDS_MAX]\n");
		return 2;
	}
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	CPU_SET(o.cpu, &cpus);
	if (sched_setaffinity(0, sizeof cpus, &cpus))
		fail("generator: cpu");
	struct frame f = template(&o);
	struct generator_bpf *g = load(&o, &f);
	int status = inject(g, &o, &f);
	generator_bpf__destroy(g);
	return status;
}
