/* Can this kernel run what is packed? Asked before anything is unpacked, because the answers of a C library are cryptic. */
#include "launcher.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { KERNEL_MAJOR = 3, KERNEL_MINOR = 2 }; /* what the packed C library asks for */

static void require_kernel(void) {
    struct utsname system;
    char *end;
    if (uname(&system) != 0) return;
    long major = strtol(system.release, &end, 10);
    long minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
    if (major > 0 && (major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR)))
        fail(EXIT_TOO_OLD, "Linux %s is too old: run it on kernel %d.%d or newer", system.release, KERNEL_MAJOR,
             KERNEL_MINOR);
}

/* The packed C library makes threads with clone3 and falls back only when it is told that there is no such call. Container
   runtimes older than Docker 20.10.10 forbid it instead, and no thread would ever start. */
static void require_threads(void) {
    if (syscall(SYS_clone3, NULL, 0) == -1 && errno == EPERM)
        fail(EXIT_TOO_OLD, "the container runtime forbids the system call clone3: update it (Docker 20.10.10 or newer), or "
                           "run this container with another seccomp profile");
}

void require_machine(void) {
    require_kernel();
    require_threads();
}
