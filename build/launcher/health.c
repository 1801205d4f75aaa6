/* `health [--live]`: ask the agent of this container, over a socket that needs no file system, how it is. */
#include "launcher.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* As many agents may run in one container. agent/presence/health_socket.py has the same names and the same words. */
enum { MAX_AGENTS = 8, DEFAULT_SECONDS = 5 };

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (long long)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Containers that share a network share the abstract sockets, too: the mount namespace and the root directory tell
   them apart, and whoever is executed in a container has both in common with its agent. */
static socklen_t address(struct sockaddr_un *name, int number) {
    char mounts[64] = "";
    struct stat root = {0};
    if (readlink("/proc/self/ns/mnt", mounts, sizeof mounts - 1) < 0) mounts[0] = '\0';
    if (stat("/", &root) != 0) root.st_ino = 0;
    memset(name, 0, sizeof *name);
    name->sun_family = AF_UNIX;
    int length = snprintf(name->sun_path + 1, sizeof name->sun_path - 1, "attune-agent/health/%s/%llx.%llx/%d", mounts,
                          (unsigned long long)root.st_dev, (unsigned long long)root.st_ino, number);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

/* Only an agent of this PID namespace, run by us or by root, is believed. */
static bool peer_is_trusted(int fd) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid == 0) return false;
    return peer.uid == geteuid() || peer.uid == 0;
}

static bool ready_for(int fd, short event, long long deadline) {
    struct pollfd item = {.fd = fd, .events = event};
    long long left = deadline - now();
    return left > 0 && poll(&item, 1, (int)left) == 1;
}

/* Ask one agent. Returns 1 for yes, 0 for no (with its reason), -1 when none listens under this number. */
static int ask(int number, const char *question, long long deadline, char *answer, size_t size) {
    struct sockaddr_un name;
    socklen_t length = address(&name, number);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    int result = -1;
    if (connect(fd, (struct sockaddr *)&name, length) == 0 || errno == EAGAIN) {
        result = 0;
        size_t used = 0;
        ssize_t got = 1;
        snprintf(answer, size, "no answer in time");
        if (!peer_is_trusted(fd)) {
            snprintf(answer, size, "the socket belongs to another user");
        } else if (ready_for(fd, POLLOUT, deadline) && send(fd, question, strlen(question), MSG_NOSIGNAL) > 0) {
            while (used < size - 1 && got > 0 && ready_for(fd, POLLIN, deadline))
                if ((got = recv(fd, answer + used, size - 1 - used, 0)) > 0) used += (size_t)got;
            if (used > 0) answer[used] = '\0';
            answer[strcspn(answer, "\n")] = '\0';
            if (got <= 0 || used > 0) result = strcmp(answer, "yes") == 0;
        }
    }
    close(fd);
    return result;
}

int health_command(int argc, char **argv) {
    const char *question = "ready\n";
    long seconds = DEFAULT_SECONDS;
    char answer[256], reason[256] = "";
    for (int i = 0; i < argc; i++) {
        char *end = NULL;
        if (strcmp(argv[i], "--live") == 0) question = "live\n";
        else if (strcmp(argv[i], "--timeout") == 0 && i + 1 < argc && (seconds = strtol(argv[i + 1], &end, 10)) > 0 &&
                 seconds <= 3600 && *end == '\0') i++;
        else fail(EXIT_USAGE, "usage: attune-agent health [--live] [--timeout SECONDS]");
    }
    long long deadline = now() + seconds * 1000;
    for (int number = 0; number < MAX_AGENTS; number++) {
        int result = ask(number, question, deadline, answer, sizeof answer);
        if (result == 1) return EXIT_DONE;
        if (result == 0 && reason[0] == '\0') snprintf(reason, sizeof reason, "%s", answer);
    }
    fail(EXIT_FAILED, "%s", reason[0] != '\0' ? reason : "no agent runs in this container");
}
