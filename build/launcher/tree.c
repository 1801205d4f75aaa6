/* Looks at an unpacked tree: is it the one we carry, whole, and nobody else's work? */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Open a file of a tree, or -1: never anything but a regular file, and never waiting, as a FIFO would have us do. */
static int open_regular(int tree, const char *path) {
    struct stat status;
    int fd = openat(tree, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))) return fd;
    close(fd);
    errno = EINVAL;
    return -1;
}

static bool same_digest(int tree, const struct file *file, char *why) {
    static uint8_t block[256 * 1024];
    struct blake2b state;
    uint8_t digest[DIGEST_SIZE];
    int fd = open_regular(tree, file->path);
    if (fd < 0) return explain(why, "%s: %s", file->path, strerror(errno)), false;
    blake2b_start(&state);
    ssize_t got;
    while ((got = read(fd, block, sizeof block)) > 0) blake2b_add(&state, block, (size_t)got);
    close(fd);
    if (got < 0) return explain(why, "%s: %s", file->path, strerror(errno)), false;
    blake2b_end(&state, digest);
    if (memcmp(digest, file->digest, DIGEST_SIZE) != 0) return explain(why, "%s has other content", file->path), false;
    return true;
}

static bool same_entry(int tree, const char *path, mode_t kind, mode_t mode, const struct file *file, uid_t owner,
                       char *why) {
    struct stat status;
    if (fstatat(tree, path, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return explain(why, "%s: %s", path, strerror(errno)), false;
    if ((status.st_mode & S_IFMT) != kind) return explain(why, "%s is of another kind", path), false;
    if ((status.st_mode & 0777) != mode)
        return explain(why, "%s has mode %04o, not %04o", path, status.st_mode & 0777, mode), false;
    if (status.st_uid != owner) return explain(why, "%s has another owner", path), false;
    if (file != NULL && (uint64_t)status.st_size != file->size)
        return explain(why, "%s has %lld bytes, not %llu", path, (long long)status.st_size,
                       (unsigned long long)file->size),
               false;
    return true;
}

static bool same_tree(int tree, uid_t owner, bool digests, char *why) {
    for (size_t i = 0; i < tree_directory_count; i++)
        if (!same_entry(tree, tree_directories[i], S_IFDIR, 0755, NULL, owner, why)) return false;
    for (size_t i = 0; i < tree_file_count; i++)
        if (!same_entry(tree, tree_files[i].path, S_IFREG, 0555, &tree_files[i], owner, why)) return false;
    for (size_t i = 0; digests && i < tree_file_count; i++)
        if (!same_digest(tree, &tree_files[i], why)) return false;
    return true;
}

/* Judge the tree `name` in `place`. `owner`: of our own file. */
enum tree_state check_tree(int place, const char *name, uid_t owner, bool digests, char *why) {
    struct stat status;
    int tree = openat(place, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (tree < 0) {
        int error = errno;
        explain(why, "%s: %s", name, strerror(error));
        if (error == ENOENT) return TREE_MISSING;
        if (error == ELOOP || error == ENOTDIR) return explain(why, "%s is not a directory", name), TREE_REFUSED;
        return TREE_DAMAGED;
    }
    enum tree_state state = TREE_GOOD;
    if (fstat(tree, &status) != 0) {
        explain(why, "%s: %s", name, strerror(errno));
        state = TREE_DAMAGED;
    } else if (!owner_is_trusted(status.st_uid, owner)) {
        explain(why, "%s belongs to user %u, who is neither root nor the owner of this program", name,
                (unsigned)status.st_uid);
        state = TREE_REFUSED;
    } else if ((status.st_mode & 0777) != 0755) {
        explain(why, "%s has mode %04o, not 0755", name, status.st_mode & 0777);
        state = TREE_DAMAGED;
    } else if (!same_tree(tree, status.st_uid, digests, why)) {
        state = TREE_DAMAGED;
    }
    close(tree);
    return state;
}

/* Map the tree's loader for execution, as the kernel will: mount options and security modules both have their say. */
bool may_execute(int tree, char *why) {
    int fd = open_regular(tree, tree_loader);
    if (fd < 0) return explain(why, "%s: %s", tree_loader, strerror(errno)), false;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    int error = errno;
    close(fd);
    if (page == MAP_FAILED) return explain(why, "may not be executed (%s)", strerror(error)), false;
    munmap(page, 4096);
    return true;
}
