// SPDX-License-Identifier: MIT
/* What does it cost to keep the rows of a table in a file mapping?
 *
 * Adds packets to rows chosen at random, in batches as long as one netlink datagram, and compares where the rows lie
 * (anonymous memory, memfd, tmpfs, a disk's file system) and how they are found (in the hash slots themselves, or by an
 * index of 8-byte slots in anonymous memory). Variants are interleaved. One line per cell, columns separated by tabs: where, how, keys, least and median ns per add, millions of
 * adds per second, ns per add while all keys are new, longest batch in us.
 *
 *   mapping [-r ROUNDS] [-c CPU] [-k KEYS,KEYS] [-p] -t TMPFS_DIR -d DISK_DIR
 *
 * -p touches all pages before the first packet; the time for it is part of no column.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 1024, PATTERN = 1 << 20, ROUNDS_MAX = 32, KEYS_LISTS = 8 };
enum backing { ANONYMOUS, ANONYMOUS_HUGE, MEMFD, TMPFS, DISK, DISK_SYNCED, BACKINGS };
enum layout { SLOTS, SLOTS_PREFETCH, INDEXED_PREFETCH, INDEXED_JOURNAL, LAYOUTS };

static const char *const BACKING_NAMES[] = {"anonymous", "anonymous, huge pages", "memfd", "tmpfs file",
					    "disk file", "disk file, fdatasync running"};
static const char *const LAYOUT_NAMES[] = {"slots", "slots, prefetch", "index + rows, prefetch", "index + rows, prefetch, journal"};

/* One cache line, as a row of the full key needs about that much. */
struct row {
	uint64_t key[2];
	uint64_t packets, bytes;
	uint64_t rest[4];
};

struct region {
	void *at;
	size_t size;
	int fd;
};

struct table {
	enum layout layout;
	struct region rows_region, index_region, journal_region;
	struct row *rows;
	uint64_t *index; /* upper half: tag of the hash, lower half: row number + 1 */
	uint64_t *journal;
	uint64_t mask;
	uint32_t used;
};

struct syncer {
	pthread_t thread;
	int fd;
	atomic_bool stop;
};

struct cell {
	double add_ns[ROUNDS_MAX], fill_ns[ROUNDS_MAX], worst_us[ROUNDS_MAX];
};

static const char *tmpfs_dir, *disk_dir;
static int populate;
static uint32_t *pattern;

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int open_backing(enum backing backing)
{
	if (backing == ANONYMOUS || backing == ANONYMOUS_HUGE)
		return -1;
	if (backing == MEMFD)
		return memfd_create("rows", MFD_CLOEXEC);
	char path[4096];
	snprintf(path, sizeof path, "%s/netledger-mapping-XXXXXX", backing == TMPFS ? tmpfs_dir : disk_dir);
	int fd = mkstemp(path);
	if (fd < 0)
		fail(path);
	unlink(path); /* nothing to clean up, however this ends */
	return fd;
}

static struct region region_make(enum backing backing, size_t size)
{
	struct region r = {.size = size, .fd = open_backing(backing)};
	int flags = r.fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	if (r.fd >= 0 && ftruncate(r.fd, (off_t)size))
		fail("ftruncate");
	r.at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, r.fd, 0);
	if (r.at == MAP_FAILED)
		fail("mmap");
	if (backing == ANONYMOUS_HUGE)
		madvise(r.at, size, MADV_HUGEPAGE);
	else if (backing == ANONYMOUS)
		madvise(r.at, size, MADV_NOHUGEPAGE);
	if (populate && madvise(r.at, size, MADV_POPULATE_WRITE))
		fail("madvise");
	return r;
}

static void region_drop(struct region *r)
{
	if (r->at)
		munmap(r->at, r->size);
	if (r->at && r->fd >= 0)
		close(r->fd);
	*r = (struct region){0};
}

static void table_make(struct table *t, enum layout layout, enum backing backing, uint32_t keys)
{
	uint64_t slots = 1024;
	while (slots < 2ull * keys)
		slots *= 2;
	*t = (struct table){.layout = layout, .mask = slots - 1};
	int indexed = layout >= INDEXED_PREFETCH;
	t->rows_region = region_make(backing, (indexed ? keys + 1 : slots) * sizeof(struct row));
	t->rows = t->rows_region.at;
	if (indexed) {
		t->index_region = region_make(ANONYMOUS_HUGE, slots * sizeof(uint64_t));
		t->index = t->index_region.at;
	}
	if (layout == INDEXED_JOURNAL) {
		t->journal_region = region_make(backing, (BATCH + 1) * sizeof(uint64_t));
		t->journal = t->journal_region.at;
	}
}

static void table_drop(struct table *t)
{
	region_drop(&t->rows_region);
	region_drop(&t->index_region);
	region_drop(&t->journal_region);
}

static uint64_t key_low(uint32_t key)
{
	return 0xffffull << 32 | (0x0a000000u + key * 0x9e3779b1u % 0x1000000u) | (uint64_t)(key >> 24) << 48;
}

static uint64_t hash(uint64_t low)
{
	uint64_t h = (low ^ low >> 32) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 32;
}

static void row_add(struct row *row, uint64_t low, uint64_t bytes)
{
	row->key[0] = low;
	row->packets += 1;
	row->bytes += bytes;
}

static void slots_batch(struct table *t, const uint32_t *keys, int prefetch)
{
	if (prefetch)
		for (int i = 0; i < BATCH; i++)
			__builtin_prefetch(&t->rows[hash(key_low(keys[i])) & t->mask], 1);
	for (int i = 0; i < BATCH; i++) {
		uint64_t low = key_low(keys[i]), at = hash(low) & t->mask;
		while (t->rows[at].key[0] != low && t->rows[at].key[0] != 0)
			at = (at + 1) & t->mask;
		row_add(&t->rows[at], low, 50);
	}
}

static uint32_t index_find(struct table *t, uint64_t low)
{
	uint64_t h = hash(low), tag = h >> 32 << 32;
	for (uint64_t at = h & t->mask;; at = (at + 1) & t->mask) {
		uint64_t slot = t->index[at];
		if (slot == 0) {
			t->index[at] = tag | ++t->used;
			t->rows[t->used - 1].key[0] = low;
			return t->used - 1;
		}
		/* the whole key is compared when the row is added to, where its line is needed anyway */
		if ((slot ^ tag) >> 32 == 0 && t->rows[(uint32_t)slot - 1].key[0] == low)
			return (uint32_t)slot - 1;
	}
}

static void index_batch(struct table *t, const uint32_t *keys)
{
	uint64_t lows[BATCH];
	uint32_t rows[BATCH];
	for (int i = 0; i < BATCH; i++) {
		lows[i] = key_low(keys[i]);
		__builtin_prefetch(&t->index[hash(lows[i]) & t->mask], 1);
	}
	for (int i = 0; i < BATCH; i++) {
		uint64_t slot = t->index[hash(lows[i]) & t->mask];
		__builtin_prefetch(&t->rows[slot ? (uint32_t)slot - 1 : t->used], 1);
	}
	for (int i = 0; i < BATCH; i++) {
		rows[i] = index_find(t, lows[i]);
		if (t->journal)
			t->journal[i + 1] = (uint64_t)rows[i] << 32 | 50;
	}
	if (t->journal) {
		atomic_signal_fence(memory_order_seq_cst);
		*(volatile uint64_t *)t->journal = BATCH;
	}
	for (int i = 0; i < BATCH; i++)
		row_add(&t->rows[rows[i]], lows[i], 50);
	if (t->journal) {
		atomic_signal_fence(memory_order_seq_cst);
		*(volatile uint64_t *)t->journal = 0;
	}
}

static void batch(struct table *t, const uint32_t *keys)
{
	if (t->layout >= INDEXED_PREFETCH)
		index_batch(t, keys);
	else
		slots_batch(t, keys, t->layout == SLOTS_PREFETCH);
}

static void *sync_loop(void *arg)
{
	struct syncer *s = arg;
	while (!atomic_load(&s->stop)) {
		fdatasync(s->fd);
		usleep(10000);
	}
	return NULL;
}

/* Every packet must have been counted: a benchmark that loses work measures nothing. */
static void check(const struct table *t, uint64_t expected)
{
	uint64_t rows = t->layout >= INDEXED_PREFETCH ? t->used : t->mask + 1, sum = 0;
	for (uint64_t i = 0; i < rows; i++)
		sum += t->rows[i].packets;
	if (sum != expected) {
		fprintf(stderr, "mapping: %lu packets in the rows, %lu added\n", (unsigned long)sum, (unsigned long)expected);
		exit(1);
	}
}

static void measure(struct cell *out, int round, enum layout layout, enum backing backing, uint32_t keys)
{
	struct table t;
	struct syncer s = {0};
	uint64_t added = 0, worst = 0, start;
	uint32_t fill[BATCH];
	table_make(&t, layout, backing, keys);
	start = now_ns();
	for (uint32_t first = 0; first < keys; first += BATCH, added += BATCH) {
		for (uint32_t i = 0; i < BATCH; i++)
			fill[i] = (first + i) % keys;
		batch(&t, fill);
	}
	out->fill_ns[round] = (double)(now_ns() - start) / (double)added;
	if (backing == DISK_SYNCED) {
		s.fd = t.rows_region.fd;
		if (pthread_create(&s.thread, NULL, sync_loop, &s))
			fail("pthread_create");
	}
	uint64_t previous = start = now_ns(), adds = 2 * PATTERN;
	for (uint64_t done = 0; done < adds; done += BATCH) {
		batch(&t, pattern + done % PATTERN);
		uint64_t at = now_ns();
		worst = at - previous > worst ? at - previous : worst;
		previous = at;
	}
	out->add_ns[round] = (double)(previous - start) / (double)adds;
	out->worst_us[round] = (double)worst / 1e3;
	if (backing == DISK_SYNCED) {
		atomic_store(&s.stop, 1);
		pthread_join(s.thread, NULL);
	}
	check(&t, added + adds);
	table_drop(&t);
}

static void make_pattern(uint32_t keys)
{
	uint64_t x = 88172645463325252ull;
	for (int i = 0; i < PATTERN; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		pattern[i] = (uint32_t)(x % keys);
	}
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void print_cell(const char *where, const char *how, uint32_t keys, struct cell *c, int rounds)
{
	qsort(c->add_ns, rounds, sizeof(double), ascending);
	qsort(c->fill_ns, rounds, sizeof(double), ascending);
	qsort(c->worst_us, rounds, sizeof(double), ascending);
	double median = c->add_ns[rounds / 2];
	printf("%s\t%s\t%u\t%.1f\t%.1f\t%.0f\t%.1f\t%.0f\n", where, how, keys, c->add_ns[0], median, 1e3 / median,
	       c->fill_ns[rounds / 2], c->worst_us[rounds - 1]);
}

static void run(uint32_t keys, int rounds)
{
	static struct cell cells[BACKINGS][LAYOUTS];
	make_pattern(keys);
	for (int round = 0; round < rounds; round++)
		for (int b = 0; b < BACKINGS; b++)
			for (int l = 0; l < LAYOUTS; l++)
				measure(&cells[b][l], round, l, b, keys);
	for (int l = 0; l < LAYOUTS; l++)
		for (int b = 0; b < BACKINGS; b++)
			print_cell(BACKING_NAMES[b], LAYOUT_NAMES[l], keys, &cells[b][l], rounds);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int option, rounds = 5, cpu = 1;
	char *keys = strdup("1000,100000,1000000");
	while ((option = getopt(argc, argv, "r:c:k:pt:d:")) != -1) {
		switch (option) {
		case 'r': rounds = atoi(optarg); break;
		case 'c': cpu = atoi(optarg); break;
		case 'k': keys = optarg; break;
		case 'p': populate = 1; break;
		case 't': tmpfs_dir = optarg; break;
		case 'd': disk_dir = optarg; break;
		default: return 2;
		}
	}
	if (!tmpfs_dir || !disk_dir || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: mapping [-r ROUNDS] [-c CPU] [-k KEYS,...] [-p] -t TMPFS_DIR -d DISK_DIR\n");
		return 2;
	}
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
	pattern = malloc(PATTERN * sizeof *pattern);
	for (char *item = strtok(keys, ","); item; item = strtok(NULL, ","))
		run((uint32_t)strtoul(item, NULL, 10), rounds);
	return 0;
}
