// Measures on request, so that a driver script can interleave this program with others: one request
// a line on stdin, one answer a line on stdout. README.md lists the requests.

#define _POSIX_C_SOURCE 199309L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host.h"
#include "loop.h"
#include "offloads.h"

/** Passes before a queue is timed first, and of a round of the table. */
enum { WARM_PASSES = 100, TABLE_PASSES = 100, TABLE_ROUNDS = 21 };
enum { TOEPLITZ_KEY_BYTES = 40 };

static const char *const formatNames[] = {"split", "packed"};
static const char *const sourceNames[] = {"direct", "heap", "freelist", "slot"};
enum { SOURCES = sizeof sourceNames / sizeof *sourceNames };

/** The set-ups that were asked for so far, and the packets that each has driven. */
typedef struct {
  bool made;
  Loop loop;
  u64 packets;
} Measured;

static Measured queues[FORMATS][SOURCES][MAX_SGS][2];

static struct {
  bool made;
  Host host;
  u64 packets;
} hosts[HOSTS];

static double nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void fail(const char *where, const char *what) {
  fprintf(stderr, "twin: %s: %s\n", where, what);
  exit(1);
}

/** Position of `name` in `names`, or -1. */
static int indexOf(const char *const *names, int count, const char *name) {
  for (int i = 0; i < count; i++) {
    if (!strcmp(names[i], name)) return i;
  }
  return -1;
}

/** Nanoseconds a packet over `passes` passes, the checks after them not counted. */
static double measureRound(Format format, Source source, u32 sgs, u32 passes, bool aligned) {
  Measured *queue = &queues[format][source][sgs - 1][aligned];
  char name[32];
  snprintf(name, sizeof name, "%s %s %u", formatNames[format], sourceNames[source], sgs);
  if (!queue->made) {
    const u32 index = (u32)(queue - &queues[0][0][0][0]);
    *queue = (Measured){true, loopInit(index, format, source, sgs, aligned), 0};
    for (u32 i = 0; i < WARM_PASSES; i++) queue->packets += loopPass(&queue->loop);
  }
  const u64 before = queue->packets;
  u64 driven = 0;
  const double start = nanoseconds();
  for (u32 i = 0; i < passes; i++) driven += loopPass(&queue->loop);
  const double spent = nanoseconds() - start;

  if (driven != (u64)passes * PASS) fail(name, "packets did not come back");
  const char *wrong = loopCheck(&queue->loop, before + driven);
  if (wrong) fail(name, wrong);
  queue->packets = before + driven + PASS;
  return spent / (double)driven;
}

/** Nanoseconds a packet over `passes` passes through a host, or of its copies alone. */
static double measureHost(Format format, bool receives, u32 bytes, u32 passes, bool copiesOnly) {
  const u32 index = hostIndex(format, receives, bytes);
  if (!hosts[index].made) {
    hosts[index].made = true;
    hosts[index].host = hostInit(index, format, receives, bytes);
    for (u32 i = 0; i < WARM_PASSES; i++) hosts[index].packets += hostPass(&hosts[index].host);
  }
  Host *host = &hosts[index].host;
  u64 driven = 0;
  const double start = nanoseconds();
  for (u32 i = 0; i < passes; i++) driven += copiesOnly ? hostCopies(host) : hostPass(host);
  const double spent = nanoseconds() - start;

  if (driven != (u64)passes * PASS) fail("host", "packets did not come back");
  if (!copiesOnly) hosts[index].packets += driven;
  const char *wrong = hostCheck(host, hosts[index].packets);
  if (wrong) fail("host", wrong);
  return spent / (double)driven;
}

/** Nanoseconds for a take and a give of `bytes` from an empty heap. */
static double measureTlsf(u32 bytes, u32 count) {
  tlsfInit(spareControl, spareRegion, SPARE_BYTES);
  const double start = nanoseconds();
  for (u32 i = 0; i < count; i++) tlsfGive(spareControl, tlsfTake(spareControl, bytes));
  const double spent = nanoseconds() - start;
  if (tlsfLiveBlocks(spareControl)) fail("tlsf", "blocks are still live");
  return spent / count;
}

/** Nanoseconds for a copy of `bytes` between two buffers that stay in the cache if they fit. */
static double measureCopy(u32 bytes, u32 count) {
  u8 *to = memory + spareRegion;
  // Not a multiple of 4 KiB from the target, so that loads do not wait for stores to the same set.
  const u8 *from = memory + spareControl + 1088;
  memset(memory + spareControl, 0x5a, SPARE_BYTES);
  const double start = nanoseconds();
  for (u32 i = 0; i < count; i++) {
    memcpy(to, from, bytes);
    // Without this the compiler knows that every copy is the same.
    __asm__ volatile("" ::: "memory");
  }
  const double spent = nanoseconds() - start;
  if (memcmp(to, from, bytes)) fail("copy", "the copy differs");
  return spent / count;
}

/** Where a checksum's bytes lie: at an even place that is no multiple of 4 KiB from what they are copied to. */
static u32 sumSource(u32 bytes) {
  const u32 ptr = spareControl + 1088;
  for (u32 i = 0; i < bytes; i++) memory[ptr + i] = (u8)(i * 167 + (i >> 8) * 13);
  return ptr;
}

/** The sum of words one by one, to check the other by. */
static u32 plainSum(u32 ptr, u32 bytes) {
  u64 sum = 0;
  for (u32 i = 0; i < bytes; i++) sum += (u64)memory[ptr + i] << (i % 2 * 8);
  return checksumFold(sum);
}

/** Nanoseconds for a checksum of `bytes`, of bytes that were copied just before if `copy`. */
static double measureChecksum(u32 bytes, u32 count, bool copy) {
  const u32 from = sumSource(bytes);
  const u32 to = spareRegion;
  u64 sum = 0;
  const double start = nanoseconds();
  for (u32 i = 0; i < count; i++) {
    if (copy) memcpy(memory + to, memory + from, bytes);
    sum += checksumFold(checksumAdd(0, from, bytes));
    __asm__ volatile("" ::: "memory");
  }
  const double spent = nanoseconds() - start;
  if (sum != (u64)plainSum(from, bytes) * count) fail("checksum", "the sum differs");
  if (copy && memcmp(memory + to, memory + from, bytes)) fail("checksum", "the copy differs");
  return spent / count;
}

/** Nanoseconds for a hash of `bytes`, one input after the other out of 64. */
static double measureToeplitz(u32 bytes, u32 count) {
  const u32 table = spareRegion;
  const u32 input = sumSource(TOEPLITZ_KEY_BYTES + 64 * 64);
  toeplitzPrepare(input, TOEPLITZ_KEY_BYTES, table);
  u32 hash = 0;
  const double start = nanoseconds();
  for (u32 i = 0; i < count; i++) hash ^= toeplitzHash(table, input + TOEPLITZ_KEY_BYTES + i % 64 * 64, bytes);
  const double spent = nanoseconds() - start;
  u32 again = 0;
  for (u32 i = 0; i < count % 128; i++) again ^= toeplitzHash(table, input + TOEPLITZ_KEY_BYTES + i % 64 * 64, bytes);
  // A pass over all inputs twice is nothing.
  if (hash != again) fail("toeplitz", "the hashes differ");
  return spent / count;
}

/** Answers one request; NULL, or what is wrong with it. */
static const char *answer(char *line) {
  char format[16];
  char source[16];
  unsigned a;
  unsigned b;
  unsigned aligned = 0;
  if (sscanf(line, "round %15s %15s %u %u %u", format, source, &a, &b, &aligned) >= 4) {
    const int f = indexOf(formatNames, FORMATS, format);
    const int s = indexOf(sourceNames, SOURCES, source);
    if (f < 0) return "the format is split or packed";
    if (s < 0) return "the source is direct, heap, freelist or slot";
    if (a < 1 || a > MAX_SGS) return "n is 1 to 4";
    if (!b) return "passes is 1 or more";
    if (aligned > 1) return "aligned is 0 or 1";
    printf("%.4f\n", measureRound((Format)f, (Source)s, a, b, aligned));
    return NULL;
  }
  char direction[16];
  const bool isHost = sscanf(line, "host %15s %15s %u %u", format, direction, &a, &b) == 4;
  if (isHost || sscanf(line, "hostcopy %15s %15s %u %u", format, direction, &a, &b) == 4) {
    const int f = indexOf(formatNames, FORMATS, format);
    if (f < 0) return "the format is split or packed";
    if (strcmp(direction, "tx") && strcmp(direction, "rx")) return "the direction is tx or rx";
    if (hostIndex((Format)f, false, a) >= HOSTS) return "bytes is 64 or 1518";
    if (!b) return "passes is 1 or more";
    printf("%.4f\n", measureHost((Format)f, !strcmp(direction, "rx"), a, b, !isHost));
    return NULL;
  }
  if (sscanf(line, "tlsf %u %u", &a, &b) == 2) {
    if (a > SPARE_BYTES / 2 || !b) return "bytes is at most 524288, count 1 or more";
    printf("%.4f\n", measureTlsf(a, b));
    return NULL;
  }
  if (sscanf(line, "copy %u %u", &a, &b) == 2) {
    if (a > SPARE_BYTES / 2 || !b) return "bytes is at most 524288, count 1 or more";
    printf("%.4f\n", measureCopy(a, b));
    return NULL;
  }
  const bool isCopied = sscanf(line, "copychecksum %u %u", &a, &b) == 2;
  if (isCopied || sscanf(line, "checksum %u %u", &a, &b) == 2) {
    if (a > SPARE_BYTES / 2 || !b) return "bytes is at most 524288, count 1 or more";
    printf("%.4f\n", measureChecksum(a, b, isCopied));
    return NULL;
  }
  if (sscanf(line, "toeplitz %u %u", &a, &b) == 2) {
    if (a > TOEPLITZ_INPUT_BYTES || !b) return "bytes is at most 36, count 1 or more";
    printf("%.4f\n", measureToeplitz(a, b));
    return NULL;
  }
  return "a request is round <format> <source> <n> <passes> [aligned], host or hostcopy <format> <direction> <bytes> <passes>,"
         " tlsf <bytes> <count>, copy <bytes> <count>,"
         " checksum <bytes> <count>, copychecksum <bytes> <count> or toeplitz <bytes> <count>";
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a;
  const double y = *(const double *)b;
  return (x > y) - (x < y);
}

/** Prints nanoseconds a packet, minimum/median, for each format and source and 1 to 4 sgs. */
static void printTable(void) {
  printf("%s build, ns per packet (minimum/median), bursts of %d\n", FULL ? "full" : "bare", BATCH);
  for (int f = 0; f < FORMATS; f++) {
    for (int s = 0; s < SOURCES; s++) {
      printf("%-6s %-8s N=1,2,3,4:", formatNames[f], sourceNames[s]);
      for (u32 n = 1; n <= MAX_SGS; n++) {
        double rounds[TABLE_ROUNDS];
        for (int r = 0; r < TABLE_ROUNDS; r++) {
          rounds[r] = measureRound((Format)f, (Source)s, n, TABLE_PASSES, false);
        }
        qsort(rounds, TABLE_ROUNDS, sizeof *rounds, ascending);
        printf("  %.1f/%.1f", rounds[0], rounds[TABLE_ROUNDS / 2]);
      }
      printf("\n");
    }
  }
}

int main(int argc, char **argv) {
  if (argc > 1) {
    if (argc > 2 || strcmp(argv[1], "--table")) {
      fprintf(stderr, "twin: unknown argument: the only one is --table, without it requests come on stdin\n");
      return 2;
    }
    printTable();
    return 0;
  }
  char line[256];
  while (fgets(line, sizeof line, stdin)) {
    const char *wrong = answer(line);
    if (wrong) printf("error %s\n", wrong);
    fflush(stdout);
  }
  return 0;
}
