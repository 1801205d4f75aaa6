/* Who could exchange our files between the check and the start: a directory is safe when nobody can that isn't trusted. */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* What the kernel shows for an owner that this user namespace does not know. */
enum { UNKNOWN_USER = 65534 };

/* Ours, root's, or of the one who owns the program that is being started: others might have planted it. */
bool owner_is_trusted(uid_t owner, uid_t own_file) { return owner == geteuid() || owner == 0 || owner == own_file; }

/* In a user namespace without that user no process has it: it stands for whoever made the sandbox, outside. */
static bool is_outside(uid_t owner) {
    unsigned long first, outer, count;
    if (owner != UNKNOWN_USER) return false;
    FILE *map = fopen("/proc/self/uid_map", "re");
    if (map == NULL) return false;
    bool known = false, read = false;
    while (fscanf(map, "%lu %lu %lu", &first, &outer, &count) == 3) {
        read = true;
        known = known || (first <= UNKNOWN_USER && UNKNOWN_USER - first < count);
    }
    fclose(map);
    return read && !known;
}

static bool is_read_only(int fd) {
    struct statvfs status;
    return fstatvfs(fd, &status) == 0 && (status.f_flag & ST_RDONLY) != 0;
}

/* Judge one directory. In a sticky one others can't touch what isn't theirs; the group of root counts as root. */
static bool directory_is_safe(int fd, const char *path, uid_t owner, char *why) {
    struct stat status;
    if (fstatat(fd, "", &status, AT_EMPTY_PATH) != 0) return explain(why, "%s: %s", path, strerror(errno)), false;
    if (is_read_only(fd)) return true;
    if (!owner_is_trusted(status.st_uid, owner) && !is_outside(status.st_uid))
        return explain(why, "%s belongs to user %u, who could exchange what is in it; mount it read-only or let it belong "
                            "to root", path, (unsigned)status.st_uid),
               false;
    if ((status.st_mode & S_ISVTX) != 0) return true;
    if ((status.st_mode & 0002) != 0)
        return explain(why, "%s is writable by everybody and has no sticky bit; mount it read-only", path), false;
    if ((status.st_mode & 0020) != 0 && status.st_gid != 0)
        return explain(why, "%s is writable by group %u; mount it read-only", path, (unsigned)status.st_gid), false;
    return true;
}

/* Judge every directory from / to `path`, which holds no link. Programs are started by paths, so each of them counts. */
bool path_is_safe(const char *path, uid_t owner, char *why) {
    char copy[PATH_MAX], so_far[PATH_MAX] = "/", *rest = NULL;
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return explain(why, "/: %s", strerror(errno)), false;
    bool safe = directory_is_safe(fd, "/", owner, why);
    snprintf(copy, sizeof copy, "%s", path);
    for (char *name = strtok_r(copy, "/", &rest); safe && name != NULL; name = strtok_r(NULL, "/", &rest)) {
        size_t length = strlen(so_far);
        snprintf(so_far + length, sizeof so_far - length, "%s%s", length > 1 ? "/" : "", name);
        int next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0) explain(why, "%s: %s", so_far, strerror(errno));
        close(fd);
        if ((fd = next) < 0) return false;
        safe = directory_is_safe(fd, so_far, owner, why);
    }
    close(fd);
    return safe;
}

/* A program that gives its caller another's rights must trust nothing of the caller: this one trusts the environment. Security
   modules ask for caution, too (AT_SECURE), without giving any right: those may. */
void require_own_rights(void) {
    if (getauxval(AT_SECURE) == 0) return;
    if (getuid() != geteuid() || getgid() != getegid() || getxattr("/proc/self/exe", "security.capability", NULL, 0) > 0)
        fail(EXIT_USAGE, "refuses to start with the rights of another user: take the set-user-ID and set-group-ID bits and the "
                         "capabilities from its file (chmod 0555, setcap -r)");
}
