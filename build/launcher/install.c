/* `install DIR`: the unpacked tree and a copy of this program, each put in place by one rename, so that DIR is always valid. */
#include "launcher.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char PROGRAM[] = "attune-agent";
enum { LOCK_PATIENCE = 60 * 1000, VERIFY_SECONDS = 60, BLOCK = 256 * 1024 };

static void stop(int number) { _exit(128 + number); } /* as PID 1 we get no signal that we don't handle */

static bool same_content(int one, int other) {
    static char a[BLOCK], b[BLOCK];
    for (off_t at = 0;; at += BLOCK) {
        ssize_t size = pread(one, a, BLOCK, at);
        if (size < 0 || size != pread(other, b, BLOCK, at) || memcmp(a, b, (size_t)size) != 0) return false;
        if (size < BLOCK) return true;
    }
}

/* Is DIR/attune-agent this very program, with the mode that it should have? */
static bool program_is_current(int place, int source, uid_t owner) {
    struct stat mine, there;
    int fd = openat(place, PROGRAM, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC); /* a FIFO must not hold us up */
    if (fd < 0) return false;
    bool current = fstat(source, &mine) == 0 && fstat(fd, &there) == 0 && S_ISREG(there.st_mode) &&
                   mine.st_size == there.st_size && (there.st_mode & 07777) == 0555 &&
                   owner_is_trusted(there.st_uid, owner) && same_content(source, fd);
    close(fd);
    return current;
}

/* ELF's number of the machine that a program is for; EM_NONE where it is no program. */
static unsigned machine_of(int program) {
    Elf64_Ehdr header; /* the field lies at the same place in programs of 32 bits */
    if (pread(program, &header, sizeof header, 0) != sizeof header) return EM_NONE;
    return memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 ? header.e_machine : EM_NONE;
}

static const char *machine_name(unsigned machine) {
    return machine == EM_X86_64 ? "amd64" : machine == EM_AARCH64 ? "arm64" : "another machine";
}

/* A volume that nodes of two architectures share: to replace the program would break those that run it. */
static void require_same_machine(int place, int source, const char *directory) {
    int fd = openat(place, PROGRAM, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return;
    unsigned there = machine_of(fd), mine = machine_of(source);
    close(fd);
    if (there != EM_NONE && there != mine)
        fail(EXIT_NO_PLACE, "%s holds the agent for %s, and this one is for %s: give each architecture a directory of its "
             "own, or remove %s/%s first", directory, machine_name(there), machine_name(mine), directory, PROGRAM);
}

static bool copy_to(int target, int source, char *why) {
    static char block[BLOCK];
    ssize_t size;
    off_t at = 0;
    while ((size = pread(source, block, sizeof block, at)) > 0) {
        for (ssize_t done = 0; done < size;) {
            ssize_t written = write(target, block + done, (size_t)(size - done));
            if (written < 0) return explain(why, "%s", strerror(errno)), false;
            done += written;
        }
        at += size;
    }
    if (size < 0 || fchmod(target, 0555) != 0 || fsync(target) != 0) return explain(why, "%s", strerror(errno)), false;
    return true;
}

/* Never written in place: a running program can't be (ETXTBSY), and half a program must never be found. */
static bool install_program(int place, int source, char *why) {
    char temporary[NAME_SIZE];
    temporary_name(temporary);
    int target = openat(place, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (target < 0) return explain(why, "%s", strerror(errno)), false;
    bool done = copy_to(target, source, why);
    if (close(target) != 0 && done) {
        explain(why, "%s", strerror(errno));
        done = false;
    }
    if (done && renameat(place, temporary, place, PROGRAM) != 0) {
        explain(why, "%s", strerror(errno));
        done = false;
    }
    if (!done) unlinkat(place, temporary, 0);
    fsync(place);
    return done;
}

static int open_source(const struct self *self) {
    int source = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (source < 0) source = open(self->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (source < 0)
        fail(EXIT_DAMAGED, "can't read its own file %s (%s), so it can't be copied; give it mode 0555", self->path,
             strerror(errno));
    return source;
}

/* Run the copy for real: the frozen agent starts and looks for interpreters. */
static bool runs(const char *directory) {
    char path[PATH_MAX + sizeof PROGRAM];
    snprintf(path, sizeof path, "%s/%s", directory, PROGRAM);
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);
        if (null >= 0) dup2(null, STDOUT_FILENO);
        execl(path, path, "--detect-only", (char *)NULL);
        fail(EXIT_FAILED, "%s can't be started: %s", path, strerror(errno));
    }
    const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
    int status;
    for (int waits = VERIFY_SECONDS * 200; child > 0 && waits > 0; waits--) {
        if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) && WEXITSTATUS(status) == 0;
        nanosleep(&pause, NULL);
    }
    if (child > 0) kill(child, SIGKILL);
    return false;
}

/* All that is done under the lock of the directory. Returns whether anything had to be changed. */
static bool update(const struct self *self, int place, const char *directory) {
    char why[WHY_SIZE] = "";
    int source = open_source(self);
    bool changed = false;
    require_same_machine(place, source, directory);
    enum tree_state state = check_tree(place, tree_name, self->owner, true, why);
    if (state != TREE_GOOD) {
        if (state != TREE_MISSING) say("replaces the unpacked files in %s: %s", directory, why);
        require_whole_file(self);
        if (!replace_tree(place, self->owner, why)) fail(EXIT_NO_PLACE, "can't install into %s: %s; it must be a "
            "writable directory on a file system that allows execution", directory, why);
        changed = true;
    }
    if (!program_is_current(place, source, self->owner)) {
        if (!install_program(place, source, why)) fail(EXIT_NO_PLACE, "can't write %s/%s: %s", directory, PROGRAM, why);
        changed = true;
    }
    close(source);
    sweep(place, true);
    return changed;
}

int install_command(const struct self *self, int argc, char **argv) {
    const char *directory = NULL;
    bool verify = false;
    char path[PATH_MAX];
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--verify") == 0) verify = true;
        else if (argv[i][0] == '-' || directory != NULL) fail(EXIT_USAGE, "usage: attune-agent install DIR [--verify]");
        else directory = argv[i];
    }
    if (directory == NULL || directory[0] == '\0') fail(EXIT_USAGE, "usage: attune-agent install DIR [--verify]");
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    if (!make_directories(directory, 0755) || realpath(directory, path) == NULL)
        fail(EXIT_NO_PLACE, "can't make the directory %s: %s", directory, strerror(errno));
    int place = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (place < 0) fail(EXIT_NO_PLACE, "can't open the directory %s: %s", path, strerror(errno));
    lock_directory(place, LOCK_EX, LOCK_PATIENCE);
    bool changed = update(self, place, path);
    flock(place, LOCK_UN);
    if (verify && !runs(path)) fail(EXIT_FAILED, "the copy in %s does not run here", path);
    printf("attune-agent %s %s in %s\n", tree_version, changed ? "installed" : "is current", path);
    return EXIT_DONE;
}
