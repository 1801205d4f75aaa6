/* Removes what nobody uses: half-unpacked trees of killed processes and, when installing, older versions. */
#include "launcher.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char PREFIX[] = ".attune-agent-";
static const char TEMPORARY[] = ".attune-agent-tmp-";

void temporary_name(char name[NAME_SIZE]) {
    uint64_t number = 0;
    if (getrandom(&number, sizeof number, GRND_NONBLOCK) != sizeof number) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        number = (uint64_t)now.tv_nsec * 2654435761u ^ (uint64_t)getpid();
    }
    snprintf(name, NAME_SIZE, "%s%016llx", TEMPORARY, (unsigned long long)number);
}

static bool is_dot(const char *name) { return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0')); }

/* Remove a directory and all below it, or what lies there in its place; never follows a link. What can't be removed stays. */
void remove_directory(int place, const char *name) {
    int fd = openat(place, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (directory == NULL) {
        if (fd >= 0) close(fd);
        else if (errno == ENOTDIR || errno == ELOOP) unlinkat(place, name, 0);
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (is_dot(entry->d_name)) continue;
        if (unlinkat(fd, entry->d_name, 0) != 0) remove_directory(fd, entry->d_name);
    }
    closedir(directory);
    unlinkat(place, name, AT_REMOVEDIR);
}

/* A process that runs from a tree, or that unpacks one, holds a shared lock on it. Where locks don't work, it stays. */
static void remove_unused(int place, const char *name, bool temporary) {
    char aside[NAME_SIZE];
    struct stat status;
    int fd = openat(place, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return;
    bool ours = fstat(fd, &status) == 0 && (geteuid() == 0 || status.st_uid == geteuid());
    if (ours && lock_directory(fd, LOCK_EX, 0) == LOCK_HELD) {
        if (temporary) {
            remove_directory(place, name);
        } else { /* first out of the way at one stroke: nobody shall find it half removed */
            temporary_name(aside);
            if (renameat(place, name, place, aside) == 0) remove_directory(place, aside);
        }
    }
    close(fd);
}

/* Remove abandoned temporary trees in `place`, and with `old_versions` all trees but the one that we carry. */
void sweep(int place, bool old_versions) {
    int fd = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (directory == NULL) {
        if (fd >= 0) close(fd);
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        const char *name = entry->d_name;
        if (strncmp(name, TEMPORARY, sizeof TEMPORARY - 1) == 0) {
            struct stat status;
            if (fstatat(place, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(status.st_mode))
                unlinkat(place, name, 0); /* a copy of the program: whoever made it is gone, or starts anew */
            else
                remove_unused(place, name, true);
        } else if (old_versions && strncmp(name, PREFIX, sizeof PREFIX - 1) == 0 && strcmp(name, tree_name) != 0) {
            remove_unused(place, name, false);
        }
    }
    closedir(directory);
}
