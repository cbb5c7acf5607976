/* Makes the n-th operation on files below a folder fail, or all of them slow, in the process that calls fault_set (see
   disk.py); lets the clock jump in one that calls clock_set (see surroundings.py); and takes away file locks in one that calls
   locks_set (see together.py). Processes that these start do the same, for variables SEEDWISE_FAULTS_CLOCK and _LOCKS. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { READ = 1, WRITE = 2, OPEN = 4 };

static char folder[4096];
static int kinds, number, lasting;
static volatile long left;

void fault_set(const char *below, int which, int error, long nth, int for_good) {
    strncpy(folder, below, sizeof folder - 1);
    kinds = which, number = error, left = nth, lasting = for_good;
}

long fault_left(void) { return left; }

/* Of an error number 0, an operation is not to fail, but to take `left` microseconds longer. */
static int hit(void) {
    if (!number) return usleep(left), 0;
    long now = __sync_sub_and_fetch(&left, 1);
    return now == 0 || (lasting && now < 0);
}

static int below(const char *path) {
    return folder[0] && path && !strncmp(path, folder, strlen(folder));
}

static int fails(int fd, int kind) {
    if (!(kinds & kind)) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    if (!below(path) || !hit()) return 0;
    errno = number;
    return 1;
}

static int fails_path(const char *path, int kind) {
    if (!(kinds & kind) || !below(path) || !hit()) return 0;
    errno = number;
    return 1;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = dlsym(RTLD_NEXT, #name)

ssize_t read(int fd, void *to, size_t n) {
    REAL(ssize_t, read, int, void *, size_t);
    return fails(fd, READ) ? -1 : real(fd, to, n);
}
ssize_t pread(int fd, void *to, size_t n, off_t at) {
    REAL(ssize_t, pread, int, void *, size_t, off_t);
    return fails(fd, READ) ? -1 : real(fd, to, n, at);
}
ssize_t pread64(int fd, void *to, size_t n, off64_t at) {
    REAL(ssize_t, pread64, int, void *, size_t, off64_t);
    return fails(fd, READ) ? -1 : real(fd, to, n, at);
}
ssize_t write(int fd, const void *from, size_t n) {
    REAL(ssize_t, write, int, const void *, size_t);
    return fails(fd, WRITE) ? -1 : real(fd, from, n);
}
ssize_t writev(int fd, const struct iovec *from, int n) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    return fails(fd, WRITE) ? -1 : real(fd, from, n);
}
ssize_t pwrite(int fd, const void *from, size_t n, off_t at) {
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    return fails(fd, WRITE) ? -1 : real(fd, from, n, at);
}
ssize_t pwrite64(int fd, const void *from, size_t n, off64_t at) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    return fails(fd, WRITE) ? -1 : real(fd, from, n, at);
}
size_t fwrite(const void *from, size_t size, size_t n, FILE *file) {
    REAL(size_t, fwrite, const void *, size_t, size_t, FILE *);
    return kinds & WRITE && fails(fileno(file), WRITE) ? 0 : real(from, size, n, file);
}
size_t fread(void *to, size_t size, size_t n, FILE *file) {
    REAL(size_t, fread, void *, size_t, size_t, FILE *);
    return kinds & READ && fails(fileno(file), READ) ? 0 : real(to, size, n, file);
}
int fsync(int fd) {
    REAL(int, fsync, int);
    return fails(fd, WRITE) ? -1 : real(fd);
}
int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    return fails_path(to, OPEN) ? -1 : real(from, to);
}
FILE *fopen(const char *path, const char *mode) {
    REAL(FILE *, fopen, const char *, const char *);
    return mode[0] != 'r' && fails_path(path, OPEN) ? NULL : real(path, mode);
}

#define OPENING(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, name, const char *, int, ...); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        return flags & (O_WRONLY | O_RDWR) && fails_path(path, OPEN) ? -1 : real(path, flags, mode); \
    }
OPENING(open)
OPENING(open64)

static volatile long seconds, calls = -1;

void clock_set(long jump, long after) { seconds = jump, calls = after; }

static long jumped(void) { return calls >= 0 && __sync_sub_and_fetch(&calls, calls > 0) == 0 ? seconds : 0; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int code = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += jumped();
    return code;
}
int gettimeofday(struct timeval *now, void *zone) {
    REAL(int, gettimeofday, struct timeval *, void *);
    int code = real(now, zone);
    now->tv_sec += jumped();
    return code;
}
time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return to ? *to = now.tv_sec : now.tv_sec;
}

static int locks = -1; /* -1: as they are; 0: each is had at once, by anybody; else the error of each */

void locks_set(int error) { locks = error; }

__attribute__((constructor)) static void from_environment(void) {
    const char *given = getenv("SEEDWISE_FAULTS_LOCKS"), *jump = getenv("SEEDWISE_FAULTS_CLOCK");
    if (given) locks = atoi(given);
    if (jump) sscanf(jump, "%ld,%ld", &seconds, &calls);
}

static int without_lock(void) {
    if (locks) errno = locks;
    return locks ? -1 : 0;
}

int flock(int fd, int operation) {
    REAL(int, flock, int, int);
    return locks >= 0 ? without_lock() : real(fd, operation);
}

#define CONTROLLING(name) \
    int name(int fd, int command, ...) { \
        REAL(int, name, int, int, ...); \
        va_list rest; \
        va_start(rest, command); \
        void *argument = va_arg(rest, void *); \
        va_end(rest); \
        int sets = command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW; \
        return sets && locks >= 0 ? without_lock() : real(fd, command, argument); \
    }
CONTROLLING(fcntl)
CONTROLLING(fcntl64)
