/* Kills the process before the Nth step that a crash may fall between: a preloaded library.
 *
 * Steps are what leaves a trace outside the process: rename, unlink, symlink, fsync, msync, ftruncate, mkdir, rmdir, a
 * message to the kernel (send…), a call of bpf(2) that makes or changes something, and a finished program such as nft
 * (waitpid). NETLEDGER_DIE_AT=N kills with SIGKILL at step N, after a
 * line on stderr that says which it was. Programs that the process starts run without this library.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_long steps;
static long die_at;

__attribute__((constructor)) static void prepare(void)
{
    const char *text = getenv("NETLEDGER_DIE_AT");
    die_at = text ? strtol(text, NULL, 10) : 0;
    unsetenv("LD_PRELOAD");
    unsetenv("NETLEDGER_DIE_AT");
}

static void step(const char *name, const char *what)
{
    if (die_at == 0 || atomic_fetch_add(&steps, 1) + 1 != die_at)
        return;
    char line[512];
    int length = snprintf(line, sizeof line, "died at step %ld: %s %s\n", die_at, name, what);
    if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0)
        _exit(99);
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

#define NEXT(result, name, parameters) \
    static result (*next) parameters; \
    if (!next) \
        next = (result (*) parameters)dlsym(RTLD_NEXT, name)

int rename(const char *from, const char *to)
{
    NEXT(int, "rename", (const char *, const char *));
    step("rename", to);
    return next(from, to);
}

int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    NEXT(int, "renameat", (int, const char *, int, const char *));
    step("renameat", to);
    return next(from_directory, from, to_directory, to);
}

int unlink(const char *path)
{
    NEXT(int, "unlink", (const char *));
    step("unlink", path);
    return next(path);
}

int unlinkat(int directory, const char *path, int flags)
{
    NEXT(int, "unlinkat", (int, const char *, int));
    step("unlinkat", path);
    return next(directory, path, flags);
}

int mkdir(const char *path, mode_t mode)
{
    NEXT(int, "mkdir", (const char *, mode_t));
    step("mkdir", path);
    return next(path, mode);
}

int rmdir(const char *path)
{
    NEXT(int, "rmdir", (const char *));
    step("rmdir", path);
    return next(path);
}

int symlink(const char *target, const char *path)
{
    NEXT(int, "symlink", (const char *, const char *));
    step("symlink", path);
    return next(target, path);
}

/* libbpf has no other way to bpf(2). To read is no step: nothing is different afterwards. */
long syscall(long number, ...)
{
    NEXT(long, "syscall", (long, ...));
    long argument[6];
    va_list rest;
    va_start(rest, number);
    for (int at = 0; at < 6; at++)
        argument[at] = va_arg(rest, long);
    va_end(rest);
    if (number == SYS_bpf)
        switch (argument[0]) {
        case BPF_PROG_LOAD: step("bpf", "load"); break;
        case BPF_MAP_CREATE: step("bpf", "create"); break;
        case BPF_MAP_UPDATE_ELEM: step("bpf", "update"); break;
        case BPF_OBJ_PIN: step("bpf", "pin"); break;
        case BPF_LINK_CREATE: step("bpf", "attach"); break;
        case BPF_LINK_DETACH: step("bpf", "detach"); break;
        }
    return next(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
}

int fsync(int fd)
{
    NEXT(int, "fsync", (int));
    step("fsync", "");
    return next(fd);
}

int fdatasync(int fd)
{
    NEXT(int, "fdatasync", (int));
    step("fdatasync", "");
    return next(fd);
}

int msync(void *address, size_t length, int flags)
{
    NEXT(int, "msync", (void *, size_t, int));
    step("msync", "");
    return next(address, length, flags);
}

int ftruncate(int fd, off_t length)
{
    NEXT(int, "ftruncate", (int, off_t));
    step("ftruncate", "");
    return next(fd, length);
}

int ftruncate64(int fd, off64_t length)
{
    NEXT(int, "ftruncate64", (int, off64_t));
    step("ftruncate", "");
    return next(fd, length);
}

ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
    NEXT(ssize_t, "send", (int, const void *, size_t, int));
    step("send", "");
    return next(fd, bytes, length, flags);
}

ssize_t sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t to_length)
{
    NEXT(ssize_t, "sendto", (int, const void *, size_t, int, const struct sockaddr *, socklen_t));
    step("sendto", "");
    return next(fd, bytes, length, flags, to, to_length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    NEXT(ssize_t, "sendmsg", (int, const struct msghdr *, int));
    step("sendmsg", "");
    return next(fd, message, flags);
}

/* Behind the call, not before it: what the program did is done. */
pid_t waitpid(pid_t child, int *status, int options)
{
    NEXT(pid_t, "waitpid", (pid_t, int *, int));
    pid_t ended = next(child, status, options);
    if (ended > 0)
        step("waitpid", "");
    return ended;
}
