/* The directories where the unpacked tree may lie, in order, and whether one may be used. build/README.md lists them. */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Room beyond the files themselves: directories, and blocks that are only partly filled. */
static const uint64_t SLACK = 2 * 1024 * 1024;

static void add(struct place *places, size_t *count, bool private, const char *base, const char *name) {
    if (base == NULL || base[0] != '/' || *count == MAX_PLACES) return;
    struct place *place = &places[*count];
    int length = snprintf(place->path, PATH_MAX, "%s%s%s", base, name[0] == '\0' ? "" : "/", name);
    if (length <= 0 || length >= PATH_MAX - NAME_SIZE) return;
    place->private = private;
    ++*count;
}

/* Beside the program comes first: that file system allows execution, and `install` unpacks there. */
size_t list_places(const struct self *self, struct place places[MAX_PLACES]) {
    size_t count = 0;
    char name[NAME_SIZE], hidden[NAME_SIZE];
    const char *chosen = getenv("ATTUNE_LAUNCHER_DIR");
    if (chosen != NULL && chosen[0] != '\0') {
        if (chosen[0] != '/') fail(EXIT_USAGE, "ATTUNE_LAUNCHER_DIR must be an absolute path, not %s", chosen);
        add(places, &count, false, chosen, "");
        return count;
    }
    snprintf(name, sizeof name, "attune-agent-%u", (unsigned)geteuid());
    snprintf(hidden, sizeof hidden, ".attune-agent-%u", (unsigned)geteuid());
    const char *home = getenv("HOME");
    add(places, &count, false, self->directory, "");
    add(places, &count, true, getenv("XDG_CACHE_HOME"), "attune-agent");
    if (home != NULL && strcmp(home, "/") != 0) add(places, &count, true, home, ".cache/attune-agent");
    add(places, &count, true, getenv("TMPDIR"), name);
    add(places, &count, true, "/var/tmp", name);
    add(places, &count, true, "/tmp", name);
    add(places, &count, true, getenv("XDG_RUNTIME_DIR"), name);
    add(places, &count, true, "/opt/attune/runtime_envs", hidden);
    add(places, &count, true, "/opt/attune/artifacts", hidden);
    add(places, &count, true, "/run", name);
    add(places, &count, true, "/dev/shm", name);
    add(places, &count, true, "/dev", name); /* in a read-only container: root's only writable file system */
    return count;
}

/* mkdir -p */
bool make_directories(const char *path, mode_t mode) {
    char partial[PATH_MAX];
    struct stat status;
    if (stat(path, &status) == 0) return S_ISDIR(status.st_mode) || (errno = ENOTDIR, false);
    if (strlen(path) >= sizeof partial) return errno = ENAMETOOLONG, false;
    strcpy(partial, path);
    for (char *slash = strchr(partial + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(partial, 0755) != 0 && errno != EEXIST && stat(partial, &status) != 0) return false;
        *slash = '/';
    }
    return mkdir(path, mode) == 0 || errno == EEXIST;
}

/* Let the place's path hold no link, so that what is judged is what will be used; the directory itself need not exist. */
static bool resolve(struct place *place, char *why) {
    char parent[PATH_MAX], name[NAME_MAX + 1], real[PATH_MAX];
    if (!place->private) {
        if (realpath(place->path, real) == NULL) return explain(why, "%s", errno == ENOENT ? "absent" : strerror(errno)), false;
        strcpy(place->path, real);
        return true;
    }
    strcpy(parent, place->path);
    char *slash = strrchr(parent, '/');
    snprintf(name, sizeof name, "%s", slash + 1);
    *slash = '\0';
    if (realpath(parent[0] == '\0' ? "/" : parent, real) == NULL)
        return explain(why, "%s", errno == ENOENT ? "absent" : strerror(errno)), false;
    int length = snprintf(place->path, PATH_MAX, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name);
    return length < PATH_MAX - NAME_SIZE || (explain(why, "its path is too long"), false);
}

/* Where somebody else may rename or remove what isn't theirs, nothing of ours is safe, however its own mode may be. */
static bool parent_is_safe(const struct place *place, uid_t owner, char *why) {
    char parent[PATH_MAX];
    strcpy(parent, place->path);
    *strrchr(parent, '/') = '\0';
    return path_is_safe(parent, owner, why);
}

/* The user's cache directory may have to be made from scratch. */
static void make_cache(const struct place *place, uid_t owner) {
    char parent[PATH_MAX], why[WHY_SIZE], real[PATH_MAX];
    strcpy(parent, place->path);
    *strrchr(parent, '/') = '\0';
    size_t length = strlen(parent);
    if (length <= 7 || strcmp(parent + length - 7, "/.cache") != 0) return;
    parent[length - 7] = '\0';
    if (realpath(parent, real) == NULL || !path_is_safe(real, owner, why)) return;
    snprintf(parent, sizeof parent, "%s/.cache", real);
    (void)mkdir(parent, 0700);
}

/* Open a place, making a private one if `create`, and resolve its path. Returns -1 and a reason when it is missing or can't be trusted. */
int open_place(struct place *place, bool create, uid_t owner, char *why) {
    struct stat status;
    if (create && place->private) make_cache(place, owner);
    if (!resolve(place, why)) return -1;
    if (strpbrk(place->path, ":;") != NULL) return explain(why, "a library path can't hold a colon or semicolon"), -1;
    if (place->private ? !parent_is_safe(place, owner, why) : !path_is_safe(place->path, owner, why)) return -1;
    if (create && place->private && mkdir(place->path, 0700) != 0 && errno != EEXIST) return explain(why, "%s", strerror(errno)), -1;
    int fd = open(place->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return explain(why, "%s", errno == ENOENT ? "absent" : strerror(errno)), -1;
    if (place->private && fstat(fd, &status) == 0 &&
        (status.st_uid != geteuid() || (status.st_mode & 0022) != 0 || !owner_is_trusted(status.st_uid, owner))) {
        close(fd);
        return explain(why, "belongs to user %u with mode %04o", (unsigned)status.st_uid, status.st_mode & 07777), -1;
    }
    return fd;
}

/* Say beforehand what would fail half-way: a read-only or noexec mount, missing permission, too little room. */
bool may_unpack(int place, char *why) {
    struct statvfs status;
    if (fstatvfs(place, &status) != 0) return explain(why, "%s", strerror(errno)), false;
    if ((status.f_flag & ST_RDONLY) != 0) return explain(why, "read-only"), false;
    if ((status.f_flag & ST_NOEXEC) != 0) return explain(why, "mounted noexec"), false;
    if (faccessat(place, ".", W_OK | X_OK, AT_EACCESS) != 0) return explain(why, "%s", strerror(errno)), false;
    uint64_t room = (uint64_t)status.f_bavail * status.f_frsize;
    if (status.f_blocks != 0 && room < tree_size + SLACK)
        return explain(why, "only %llu MB free, %llu needed", (unsigned long long)(room >> 20),
                       (unsigned long long)((tree_size + SLACK) >> 20) + 1),
               false;
    return true;
}
