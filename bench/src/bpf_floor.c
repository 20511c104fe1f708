// SPDX-License-Identifier: MIT
/* Attaches the least program that counts packets of an address in the kernel, and reads the rows at the end.
 *
 *   bpf_floor count -i INTERFACE [-a tcx|netfilter] [-m ROWS_MAX] [-k KEY_BYTES] [-s] [-x EXTRA,...]
 *   bpf_floor read -p PINNED_MAP [-n TIMES] [-b ROWS_AT_ONCE]
 *
 * -s is one hash for all CPUs instead of one per CPU; EXTRA: locked totals both wide networks cast no_rows. A line of
 * JSON says that it counts; SIGTERM ends it with another one. `read` copies all rows out of a pinned map, and keeps none.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bpf_floor.h"
#include "bpf_floor.skel.h"

/* Numbers of the kernel's interface that the headers of Debian 12 do not have. */
enum { TYPE_NETFILTER = 32, ATTACH_NETFILTER = 45, ATTACH_TCX_INGRESS = 46 };
enum { PRIORITY = 90, HOOK_INPUT = 1, FAMILY_IPV4 = 2 };

struct options {
	const char *interface, *attach, *extras, *pinned;
	unsigned rows_max, key_bytes, times, batch;
	int shared;
};

/* The beginning of `union bpf_attr` for BPF_LINK_CREATE, in both of its forms. */
struct link_request {
	__u32 program, target, type, flags;
	union {
		struct {
			__u32 family, hook;
			__s32 priority;
			__u32 flags;
		} netfilter;
		struct {
			__u32 relative, unused;
			__u64 revision;
		} tcx;
	};
};

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
	(void)number;
	stopping = 1;
}

static void fail(const char *what)
{
	fprintf(stderr, "bpf_floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned long long cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void choose(struct extras *extras, const char *names)
{
	const struct {
		const char *name;
		__u32 *flag;
	} all[] = {{"locked", &extras->locked}, {"totals", &extras->totals},	 {"both", &extras->both},
		   {"wide", &extras->wide},	{"networks", &extras->networks}, {"cast", &extras->cast},
		   {"no_rows", &extras->no_rows}};
	char *copy = strdup(names), *rest = copy, *name;
	while ((name = strsep(&rest, ","))) {
		size_t i = 0;
		while (i < sizeof all / sizeof *all && strcmp(all[i].name, name))
			i++;
		if (i == sizeof all / sizeof *all) {
			fprintf(stderr, "bpf_floor: -x %s: unknown\n", name);
			exit(2);
		}
		*all[i].flag = 1;
	}
	free(copy);
}

static struct bpf_floor_bpf *load(const struct options *o, int netfilter)
{
	struct bpf_floor_bpf *b = bpf_floor_bpf__open();
	if (!b)
		fail("open");
	if (o->extras)
		choose((struct extras *)&b->rodata->extras, o->extras);
	bpf_program__set_autoload(netfilter ? b->progs.floor_tcx : b->progs.floor_netfilter, false);
	if (netfilter) {
		bpf_program__set_type(b->progs.floor_netfilter, TYPE_NETFILTER);
		bpf_program__set_expected_attach_type(b->progs.floor_netfilter, ATTACH_NETFILTER);
	}
	bpf_map__set_type(b->maps.rows, o->shared ? BPF_MAP_TYPE_HASH : BPF_MAP_TYPE_PERCPU_HASH);
	bpf_map__set_max_entries(b->maps.rows, o->rows_max);
	bpf_map__set_key_size(b->maps.rows, o->key_bytes);
	if (bpf_floor_bpf__load(b))
		fail("load");
	return b;
}

/* By hand: libbpf of Debian 12 knows neither. Returns a descriptor that keeps the program attached. */
static int attach(const struct bpf_floor_bpf *b, const struct options *o, int netfilter)
{
	struct link_request request = {.type = netfilter ? ATTACH_NETFILTER : ATTACH_TCX_INGRESS};
	request.program = bpf_program__fd(netfilter ? b->progs.floor_netfilter : b->progs.floor_tcx);
	if (netfilter) {
		request.netfilter.family = FAMILY_IPV4;
		request.netfilter.hook = HOOK_INPUT;
		request.netfilter.priority = PRIORITY;
	} else {
		request.target = if_nametoindex(o->interface);
	}
	return syscall(SYS_bpf, BPF_LINK_CREATE, &request, sizeof request);
}

struct reading {
	unsigned long long rows, packets, bytes, cpu_ns;
};

/* Copies all rows out, `batch` at once. Sums are only made of values that are our own. */
static struct reading read_rows(int map, const struct bpf_map_info *info, unsigned batch, int add_up)
{
	int per_cpu = info->type == BPF_MAP_TYPE_PERCPU_HASH, cpus = per_cpu ? libbpf_num_possible_cpus() : 1;
	size_t value = (size_t)info->value_size * cpus;
	char *keys = malloc((size_t)batch * info->key_size), *values = malloc(batch * value);
	char from[64], *at = NULL, next[64];
	struct reading r = {.cpu_ns = cpu_ns()};
	for (int last = 0; !last;) {
		unsigned count = batch;
		last = bpf_map_lookup_batch(map, at, next, keys, values, &count, NULL) != 0;
		if (last && errno != ENOENT)
			fail("read");
		r.rows += count;
		const struct sums *sums = (const struct sums *)values;
		for (size_t i = 0; add_up && i < (size_t)count * cpus; i++) {
			r.packets += sums[i].packets;
			r.bytes += sums[i].bytes;
		}
		memcpy(from, next, sizeof from);
		at = from;
	}
	r.cpu_ns = cpu_ns() - r.cpu_ns;
	free(keys);
	free(values);
	return r;
}

static struct bpf_map_info facts(int map)
{
	struct bpf_map_info info = {0};
	unsigned size = sizeof info;
	if (bpf_obj_get_info_by_fd(map, &info, &size))
		fail("map");
	return info;
}

static int count(const struct options *o)
{
	sigset_t ends, before;
	struct sigaction action = {.sa_handler = on_signal};
	int netfilter = !strcmp(o->attach, "netfilter");
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, &before);
	sigaction(SIGTERM, &action, NULL);
	struct bpf_floor_bpf *b = load(o, netfilter);
	if (attach(b, o, netfilter) < 0)
		fail("attach");
	printf("{\"ready\": true}\n");
	fflush(stdout);
	while (!stopping)
		sigsuspend(&before);
	struct bpf_map_info info = facts(bpf_map__fd(b->maps.rows));
	struct reading r = read_rows(bpf_map__fd(b->maps.rows), &info, o->batch, 1);
	printf("{\"rows\": %llu, \"packets\": %llu, \"bytes\": %llu, \"cpu_ns\": %llu, \"refused\": %llu}\n", r.rows, r.packets,
	       r.bytes, r.cpu_ns, (unsigned long long)b->bss->refused);
	bpf_floor_bpf__destroy(b);
	return 0;
}

static int read_pinned(const struct options *o)
{
	int map = bpf_obj_get(o->pinned);
	if (map < 0)
		fail(o->pinned);
	struct bpf_map_info info = facts(map);
	for (unsigned i = 0; i < o->times; i++) {
		struct reading r = read_rows(map, &info, o->batch, 0);
		printf("{\"rows\": %llu, \"cpu_ns\": %llu}\n", r.rows, r.cpu_ns);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = {.attach = "tcx", .rows_max = 1 << 20, .key_bytes = 4, .times = 1, .batch = 65536};
	int option, counts = argc > 1 && !strcmp(argv[1], "count"), reads = argc > 1 && !strcmp(argv[1], "read");
	optind = 2;
	while ((counts || reads) && (option = getopt(argc, argv, "i:a:m:k:sx:p:n:b:")) != -1) {
		switch (option) {
		case 'i': o.interface = optarg; break;
		case 'a': o.attach = optarg; break;
		case 'm': o.rows_max = strtoul(optarg, NULL, 10); break;
		case 'k': o.key_bytes = strtoul(optarg, NULL, 10); break;
		case 's': o.shared = 1; break;
		case 'x': o.extras = optarg; break;
		case 'p': o.pinned = optarg; break;
		case 'n': o.times = strtoul(optarg, NULL, 10); break;
		case 'b': o.batch = strtoul(optarg, NULL, 10); break;
		default: return 2;
		}
	}
	if (counts && o.interface && o.rows_max && o.key_bytes >= 4 && o.key_bytes <= 48 && o.batch)
		return count(&o);
	if (reads && o.pinned && o.times && o.batch)
		return read_pinned(&o);
	fprintf(stderr, "usage: bpf_floor count -i INTERFACE [-a tcx|netfilter] [-m ROWS_MAX] [-k KEY_BYTES] [-s] [-x EXTRA,...]\n"
			"       bpf_floor read -p PINNED_MAP [-n TIMES] [-b ROWS_AT_ONCE]\n");
	return 2;
}
