/* Finds this program's own file: the unpacked tree lies beside it, and `install` copies it. */
#include "launcher.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

static bool usable(const char *path, struct stat *status) {
    return path[0] == '/' && stat(path, status) == 0 && S_ISREG(status->st_mode);
}

/* The kernel's own answer. A file that was replaced meanwhile reads "/path (deleted)": its directory is still right. */
static bool from_proc(char path[PATH_MAX], struct stat *status) {
    static const char deleted[] = " (deleted)";
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (length <= 0) return false;
    path[length] = '\0';
    size_t tail = sizeof deleted - 1;
    if ((size_t)length > tail && strcmp(path + length - tail, deleted) == 0) {
        path[(size_t)length - tail] = '\0';
        if (usable(path, status)) return true;
        return stat("/proc/self/exe", status) == 0;
    }
    return usable(path, status);
}

/* Without /proc: the path that execve was given, kept by the kernel in the auxiliary vector. */
static bool from_exec(char path[PATH_MAX], struct stat *status) {
    const char *name = (const char *)getauxval(AT_EXECFN);
    return name != NULL && realpath(name, path) != NULL && usable(path, status);
}

void find_self(struct self *self) {
    struct stat status;
    if (!from_proc(self->path, &status) && !from_exec(self->path, &status))
        fail(EXIT_LOST, "can't find its own file: /proc is not mounted and it was not started by a path that exists; "
                        "mount /proc or start it by its absolute path");
    self->owner = status.st_uid;
    strcpy(self->directory, self->path);
    char *slash = strrchr(self->directory, '/');
    slash[slash == self->directory ? 1 : 0] = '\0';
}

/* A shorter file than was linked would kill us with SIGBUS when the missing part of the payload is touched. */
void require_whole_file(const struct self *self) {
    const Elf64_Phdr *header = (const Elf64_Phdr *)getauxval(AT_PHDR);
    off_t expected = 0;
    for (unsigned long left = header == NULL ? 0 : getauxval(AT_PHNUM); left > 0; left--, header++)
        if (header->p_type == PT_LOAD && (off_t)(header->p_offset + header->p_filesz) > expected)
            expected = (off_t)(header->p_offset + header->p_filesz);
    struct stat status;
    if (stat("/proc/self/exe", &status) != 0 && stat(self->path, &status) != 0) return;
    if (status.st_size < expected)
        fail(EXIT_DAMAGED, "%s is damaged: it has %lld bytes, at least %lld are expected; copy it again", self->path,
             (long long)status.st_size, (long long)expected);
}
