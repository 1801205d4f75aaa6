/* Locks on directories (flock): they need no file, vanish with their holder and are seen across containers. */
#include "launcher.h"

#include <errno.h>
#include <sys/file.h>
#include <time.h>

/* Try for so many milliseconds. File systems without flock say so at once. */
enum lock_result lock_directory(int fd, int operation, int milliseconds) {
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    for (;;) {
        if (flock(fd, operation | LOCK_NB) == 0) return LOCK_HELD;
        if (errno == EINTR) continue;
        if (errno != EWOULDBLOCK) return LOCK_UNSUPPORTED;
        if (milliseconds <= 0) return LOCK_BUSY;
        nanosleep(&pause, NULL);
        milliseconds -= 10;
    }
}
