// SPDX-License-Identifier: MIT
/* Injects exactly COUNT packets into the receive path of an interface, from inside the kernel, as its driver would.
 * One JSON line says what happened. Needs root and a kernel >= 5.18 (live frames of BPF_PROG_TEST_RUN).
 *
 *   generator -i INTERFACE -t DESTINATION [-n COUNT] [-k ADDRESSES] [-p PORTS] [-r PACKETS_PER_SECOND] [-c CPU] [-s SECONDS_MAX]
 *             [-N NAMESPACE,...] [-w PACKETS]
 *
 * With -N it injects COUNT packets into INTERFACE of each of these namespaces (files), and says a line for each: -w of them
 * here, as many there, and round again, so that all of them meet the same moments of a machine that is not always the same.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
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

enum { ETHERNET = 14, UDP = 8, PAYLOAD = 22, FRAME_MAX = 128, PLACES_MAX = 32 };

struct options {
	const char *interface, *destination;
	char *namespaces;
	unsigned count, addresses, ports, rate, cpu, seconds_max, slice;
};

struct frame {
	unsigned char bytes[FRAME_MAX];
	unsigned length;
};

/* An interface, and what was injected there. */
struct place {
	int namespace; /* below 0: the one that this runs in */
	int interface;
	struct frame frame;
	__u64 injected;
	double seconds;
	__u32 *window_ns;
	unsigned windows;
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

static void enter(const struct place *p)
{
	if (p->namespace >= 0 && setns(p->namespace, CLONE_NEWNET))
		fail("generator: namespace");
}

static struct place find(const struct options *o, const char *namespace)
{
	struct place p = {.namespace = -1};
	if (namespace && (p.namespace = open(namespace, O_RDONLY | O_CLOEXEC)) < 0)
		fail(namespace);
	enter(&p);
	p.interface = if_nametoindex(o->interface);
	p.frame = template(o);
	p.window_ns = malloc(WINDOWS_MAX * sizeof *p.window_ns);
	if (!p.window_ns)
		fail("generator: memory");
	return p;
}

/* From the first packet to the last; setting up and taking down are no traffic. */
static double traffic_seconds(const struct generator_bpf *g, __u64 packets)
{
	double batches = (double)((packets + BATCH - 1) / BATCH);
	double between = (g->bss->last_ns - g->bss->first_ns) / 1e9;
	return batches > 1 ? between * batches / (batches - 1) : between;
}

static int ascending(const void *a, const void *b)
{
	__u32 x = *(const __u32 *)a, y = *(const __u32 *)b;
	return (x > y) - (x < y);
}

/* A packet's time by a percentile of the windows. The tenth is that of a CPU that nobody else disturbs; where the other
 * half of the core is busy more often than not, it takes the second. */
static double packet_ns(const struct place *p, unsigned percent)
{
	if (p->windows == 0)
		return -1;
	qsort(p->window_ns, p->windows, sizeof(__u32), ascending);
	return (double)p->window_ns[p->windows * percent / 100] / (WINDOW * BATCH);
}

/* Takes over what the program in the kernel has noted. The first window after a change of place is cold, and left out. */
static void note(const struct generator_bpf *g, struct place *p, __u64 before, unsigned left_out)
{
	unsigned n = g->bss->windows < WINDOWS_MAX ? g->bss->windows : WINDOWS_MAX;
	p->seconds += traffic_seconds(g, g->bss->injected - before);
	p->injected = g->bss->injected;
	for (unsigned i = left_out; i < n && p->windows < WINDOWS_MAX; i++)
		p->window_ns[p->windows++] = g->bss->window_ns[i];
}

/* Up to `count` further packets, which is fewer only when time is up. */
static int inject(struct generator_bpf *g, struct place *p, unsigned count, unsigned left_out)
{
	struct xdp_md context = {.data_end = p->frame.length, .ingress_ifindex = p->interface};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = p->frame.bytes, .data_size_in = p->frame.length, .ctx_in = &context,
		    .ctx_size_in = sizeof context, .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH,
		    .repeat = (int)count);
	enter(p);
	g->bss->injected = p->injected;
	g->bss->first_ns = g->bss->last_ns = g->bss->due_ns = g->bss->work_since_ns = g->bss->window_sum_ns = 0;
	g->bss->windows = g->bss->window_batches = 0;
	__u64 before = p->injected;
	int failed = bpf_prog_test_run_opts(bpf_program__fd(g->progs.generate), &run);
	if (failed && errno != EINTR)
		fail("generator: run");
	note(g, p, before, left_out);
	return failed;
}

static void wake(int signal_number)
{
	(void)signal_number;
}

static int inject_all(const struct options *o, struct place *places, unsigned n)
{
	struct generator_bpf *g = load(o, &places[0].frame); /* the sum of an IPv4 header knows no interface */
	struct sigaction action = {.sa_handler = wake};
	int status = 0, ended = 0;
	sigaction(SIGALRM, &action, NULL);
	alarm(o->seconds_max);
	for (unsigned done = 0, slice; done < o->count && !ended; done += slice) {
		slice = n > 1 && o->count - done > o->slice ? o->slice : o->count - done;
		for (unsigned i = 0; i < n && !ended; i++)
			ended = inject(g, &places[i], slice, n > 1);
	}
	for (unsigned i = 0; i < n; i++) {
		printf("{\"packets\": %llu, \"seconds\": %.6f, \"packet_ns\": %.1f, \"undisturbed_ns\": %.1f, "
		       "\"late_batches\": %llu, \"ip_bytes\": %u}\n",
		       (unsigned long long)places[i].injected, places[i].seconds, packet_ns(&places[i], 10),
		       packet_ns(&places[i], 2), (unsigned long long)g->bss->late_batches, places[i].frame.length - ETHERNET);
		status = places[i].injected == o->count ? status : 3;
	}
	generator_bpf__destroy(g);
	return status;
}

int main(int argc, char **argv)
{
	struct options o = {.count = 1000000, .addresses = 1000, .ports = 1, .seconds_max = 60, .slice = 1 << 16};
	int option;
	while ((option = getopt(argc, argv, "i:t:n:k:p:r:c:s:N:w:")) != -1) {
		switch (option) {
		case 'i': o.interface = optarg; break;
		case 't': o.destination = optarg; break;
		case 'n': o.count = strtoul(optarg, NULL, 10); break;
		case 'k': o.addresses = strtoul(optarg, NULL, 10); break;
		case 'p': o.ports = strtoul(optarg, NULL, 10); break;
		case 'r': o.rate = strtoul(optarg, NULL, 10); break;
		case 'c': o.cpu = strtoul(optarg, NULL, 10); break;
		case 's': o.seconds_max = strtoul(optarg, NULL, 10); break;
		case 'N': o.namespaces = optarg; break;
		case 'w': o.slice = strtoul(optarg, NULL, 10); break;
		default: return 2;
		}
	}
	if (!o.interface || !o.destination || !o.addresses || o.addresses > 1u << ADDRESS_BITS || !o.ports || o.ports > 60000 || !o.slice ||
	    o.slice % BATCH) {
		fprintf(stderr, "usage: generator -i INTERFACE -t DESTINATION [-n COUNT] [-k ADDRESSES] [-p PORTS] [-r RATE] "
				"[-c CPU] [-s SECONDS_MAX] [-N NAMESPACE,...] [-w PACKETS]\n");
		return 2;
	}
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	CPU_SET(o.cpu, &cpus);
	if (sched_setaffinity(0, sizeof cpus, &cpus))
		fail("generator: cpu");
	struct place places[PLACES_MAX];
	unsigned n = 0;
	for (char *name; o.namespaces && n < PLACES_MAX && (name = strsep(&o.namespaces, ","));)
		places[n++] = find(&o, name);
	if (!n)
		places[n++] = find(&o, NULL);
	return inject_all(&o, places, n);
}
