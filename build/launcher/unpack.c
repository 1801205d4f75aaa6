/* Unpacks the payload under a temporary name, makes it durable, checks every digest, and renames it into place. */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zstd.h>

enum { LOCK_PATIENCE = 20 * 1000 };

/* The decompressed stream: the contents of all files, one after the other. */
struct stream {
    ZSTD_DStream *decoder;
    ZSTD_inBuffer in;
    ZSTD_outBuffer out;
    size_t taken;
    uint8_t block[256 * 1024];
};

/* Why our own file can't be right, once that is known. */
static const char *damage;

/* Return the next decompressed bytes, at most `wanted`, or NULL when the payload is damaged. */
static const uint8_t *next_bytes(struct stream *stream, uint64_t wanted, size_t *size) {
    while (stream->taken == stream->out.pos) {
        stream->taken = stream->out.pos = 0;
        size_t before = stream->in.pos;
        size_t status = ZSTD_decompressStream(stream->decoder, &stream->out, &stream->in);
        if (ZSTD_isError(status)) return damage = ZSTD_getErrorName(status), NULL;
        if (stream->out.pos == 0 && stream->in.pos == before) return damage = "it ends too early", NULL;
    }
    *size = stream->out.pos - stream->taken;
    if (*size > wanted) *size = wanted;
    const uint8_t *bytes = stream->block + stream->taken;
    stream->taken += *size;
    return bytes;
}

static bool write_all(int fd, const uint8_t *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

static bool write_file(int tree, const struct file *file, struct stream *stream, char *why) {
    int fd = openat(tree, file->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return explain(why, "%s", strerror(errno)), false;
    bool written = true;
    for (uint64_t left = file->size; written && left > 0;) {
        size_t size = 0;
        const uint8_t *bytes = next_bytes(stream, left, &size);
        written = bytes != NULL && write_all(fd, bytes, size);
        left -= size;
    }
    written = written && fchmod(fd, 0555) == 0;
    if (!written) explain(why, "%s", damage != NULL ? damage : strerror(errno));
    sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* start now, so that the waits below are short */
    if (close(fd) != 0 && written) {
        explain(why, "%s", strerror(errno));
        written = false;
    }
    return written;
}

static bool write_files(int tree, char *why) {
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL || (stream->decoder = ZSTD_createDStream()) == NULL) return explain(why, "no memory"), false;
    ZSTD_initDStream(stream->decoder);
    ZSTD_DCtx_setParameter(stream->decoder, ZSTD_d_windowLogMax, 27);
    stream->in = (ZSTD_inBuffer){payload_start, (size_t)(payload_end - payload_start), 0};
    stream->out = (ZSTD_outBuffer){stream->block, sizeof stream->block, 0};
    bool written = true;
    for (size_t i = 0; written && i < tree_file_count; i++) written = write_file(tree, &tree_files[i], stream, why);
    ZSTD_freeDStream(stream->decoder);
    free(stream);
    return written;
}

static bool make_durable(int tree, const char *path, int flags, char *why) {
    int fd = openat(tree, path, O_RDONLY | O_CLOEXEC | flags);
    bool durable = fd >= 0 && fsync(fd) == 0;
    if (!durable && fd >= 0 && (errno == EINVAL || errno == ENOTSUP || errno == EROFS)) durable = true; /* can't be had */
    if (!durable) explain(why, "%s", strerror(errno));
    if (fd >= 0) close(fd);
    return durable;
}

static bool fill(int tree, char *why) {
    for (size_t i = 0; i < tree_directory_count; i++) {
        if (mkdirat(tree, tree_directories[i], 0755) != 0 || fchmodat(tree, tree_directories[i], 0755, 0) != 0)
            return explain(why, "%s", strerror(errno)), false;
    }
    if (!write_files(tree, why)) return false;
    for (size_t i = 0; i < tree_file_count; i++)
        if (!make_durable(tree, tree_files[i].path, 0, why)) return false;
    for (size_t i = 0; i < tree_directory_count; i++)
        if (!make_durable(tree, tree_directories[i], O_DIRECTORY, why)) return false;
    if (fchmod(tree, 0755) != 0 || fsync(tree) != 0) return explain(why, "%s", strerror(errno)), false;
    return true;
}

/* Give the finished tree its name. A damaged one there is put aside in the same step; a good one of another wins. */
static bool publish(int place, const char *temporary, uid_t owner, char *why) {
    char aside[NAME_SIZE];
    if (renameat(place, temporary, place, tree_name) == 0) return true;
    if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR) return explain(why, "%s", strerror(errno)), false;
    if (check_tree(place, tree_name, owner, true, why) == TREE_GOOD) return true;
    if (syscall(SYS_renameat2, place, temporary, place, tree_name, 2 /* RENAME_EXCHANGE */) == 0) return true;
    temporary_name(aside);
    if (renameat(place, tree_name, place, aside) == 0 && renameat(place, temporary, place, tree_name) == 0) return true;
    return explain(why, "%s can't be replaced: %s", tree_name, strerror(errno)), false;
}

static bool unpack_as(int place, const char *temporary, uid_t owner, char *why) {
    if (mkdirat(place, temporary, 0700) != 0) return explain(why, "%s", strerror(errno)), false;
    int tree = openat(place, temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (tree < 0) return explain(why, "%s", strerror(errno)), false;
    lock_directory(tree, LOCK_SH, 0); /* says that somebody is at work here */
    bool done = fill(tree, why) && may_execute(tree, why);
    if (done && check_tree(place, temporary, owner, true, why) != TREE_GOOD) {
        if (strstr(why, "other content") != NULL) damage = why; /* right after writing: we carry something else */
        done = false;
    }
    done = done && publish(place, temporary, owner, why);
    close(tree);
    remove_directory(place, temporary); /* after publishing: nothing, our own superfluous copy, or the damaged tree */
    fsync(place);
    if (damage != NULL) fail(EXIT_DAMAGED, "its own file is damaged (%s): copy it again", damage);
    return done;
}

/* Unpack into `place`, whatever is there. Everything a killed process left there is removed. The caller has locked it. */
bool replace_tree(int place, uid_t owner, char *why) {
    char temporary[NAME_SIZE];
    if (!may_unpack(place, why)) return false;
    sweep(place, false);
    temporary_name(temporary);
    return unpack_as(place, temporary, owner, why);
}

/* Unpack into `place` unless another process does so first. The lock only saves work: without it all is safe as well. */
bool unpack_tree(int place, uid_t owner, char *why) {
    bool locked = lock_directory(place, LOCK_EX, LOCK_PATIENCE) == LOCK_HELD;
    bool done = check_tree(place, tree_name, owner, false, why) == TREE_GOOD || replace_tree(place, owner, why);
    if (locked) flock(place, LOCK_UN);
    return done;
}
