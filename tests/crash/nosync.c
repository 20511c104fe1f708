/* A disk that lies: everything is durable, says the preloaded library, and nothing is made so. */
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

int fsync(int fd)
{
    (void)fd;
    return 0;
}

int fdatasync(int fd)
{
    (void)fd;
    return 0;
}

int msync(void *address, size_t length, int flags)
{
    (void)address;
    (void)length;
    (void)flags;
    return 0;
}
