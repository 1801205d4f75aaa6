/* Replaces this process by the frozen program: private loader, private libraries, and an environment that can be undone. */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCK_PATIENCE = 5 * 1000 };

/* Variables that would change our own loader, libc, Python or OpenSSL. They are kept under another name, and the program
   gives them back to the processes that it starts. A name that ends in * stands for all that begin so. */
static const char *const TAKEN[] = {"LD_*",    "GLIBC_TUNABLES", "_PYI_*", "PYINSTALLER_*", "LOCPATH", "GCONV_PATH",
                                    "MALLOC_*", "LC_ALL",        "OPENSSL_CONF", "OPENSSL_MODULES", "OPENSSL_ENGINES"};
static const char KEPT[] = "ATTUNE_LAUNCHER_ENV_";

/* Where distributions keep the authorities that they trust. */
static const char *const AUTHORITIES[] = {
    "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Ubuntu, Alpine, Arch */
    "/etc/pki/tls/certs/ca-bundle.crt",                  /* RHEL, Fedora, UBI */
    "/etc/ssl/ca-bundle.pem",                            /* SUSE */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* RHEL without its compatibility links */
    "/etc/ssl/cert.pem",                                 /* Alpine without ca-certificates */
};

static bool is_taken(const char *variable) {
    size_t length = strcspn(variable, "=");
    for (size_t i = 0; i < sizeof TAKEN / sizeof *TAKEN; i++) {
        size_t end = strlen(TAKEN[i]);
        if (TAKEN[i][end - 1] == '*' ? strncmp(variable, TAKEN[i], end - 1) == 0
                                     : length == end && strncmp(variable, TAKEN[i], end) == 0)
            return true;
    }
    return false;
}

static char *text(const char *format, const char *first, const char *second) {
    char *result;
    if (asprintf(&result, format, first, second) < 0) fail(EXIT_FAILED, "no memory");
    return result;
}

static const char *authorities(const char *tree) {
    for (size_t i = 0; i < sizeof AUTHORITIES / sizeof *AUTHORITIES; i++)
        if (access(AUTHORITIES[i], R_OK) == 0) return AUTHORITIES[i];
    return text("%s/%s", tree, "cacert.pem");
}

/* The environment of the program: the container's own, with the taken variables renamed and ours added at the end. */
static char **program_environment(const struct self *self, const char *tree, int lock, char **environment) {
    size_t count = 0;
    while (environment[count] != NULL) count++;
    char **result = calloc(count + 12, sizeof *result);
    if (result == NULL) fail(EXIT_FAILED, "no memory");
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(environment[i], "ATTUNE_LAUNCHER_", 16) == 0 && strncmp(environment[i], "ATTUNE_LAUNCHER_DIR=", 20) != 0)
            continue; /* left over from an outer launcher: it never reaches a child of ours */
        result[used++] = is_taken(environment[i]) ? text("%s%s", KEPT, environment[i]) : environment[i];
    }
    char number[16];
    snprintf(number, sizeof number, "%d", lock);
    result[used++] = text("ATTUNE_LAUNCHER_SELF=%s%s", self->path, "");
    result[used++] = text("ATTUNE_LAUNCHER_TREE=%s%s", tree, "");
    if (lock >= 0) result[used++] = text("ATTUNE_LAUNCHER_LOCK=%s%s", number, "");
    bool authorities_named = getenv("SSL_CERT_FILE") != NULL || getenv("SSL_CERT_DIR") != NULL;
    if (!authorities_named) result[used++] = text("SSL_CERT_FILE=%s%s", authorities(tree), "");
    result[used++] = text("ATTUNE_LAUNCHER_ADDED=LC_ALL,OPENSSL_CONF,_PYI_ARCHIVE_FILE,_PYI_PARENT_PROCESS_LEVEL,"
                          "_PYI_LINUX_PROCESS_NAME%s%s", authorities_named ? "" : ",SSL_CERT_FILE", "");
    result[used++] = "LC_ALL=C"; /* no locale files of the container; the program is in UTF-8 mode whatever this says */
    result[used++] = "OPENSSL_CONF=/dev/null"; /* nor its providers, which belong to another OpenSSL */
    result[used++] = text("_PYI_ARCHIVE_FILE=%s/%s", tree, "attune-agent");
    result[used++] = "_PYI_PARENT_PROCESS_LEVEL=0"; /* with the line above: no second exec, no LD_LIBRARY_PATH */
    result[used++] = "_PYI_LINUX_PROCESS_NAME=attune-agent";
    return result;
}

/* Open the tree in `place` and hold a shared lock on it for as long as the program runs: the descriptor survives exec, and
   `install` removes no tree that is locked. Returns -1 with the tree's state unless it is good. */
int hold_tree(int place, const char *place_path, uid_t owner, enum tree_state *state, char *why) {
    struct stat held, named;
    int tree = openat(place, tree_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (tree >= 0) lock_directory(tree, LOCK_SH, LOCK_PATIENCE);
    *state = check_tree(place, tree_name, owner, false, why);
    if (*state == TREE_GOOD && tree >= 0 && fstat(tree, &held) == 0 &&
        fstatat(place, tree_name, &named, AT_SYMLINK_NOFOLLOW) == 0 && held.st_ino == named.st_ino &&
        held.st_dev == named.st_dev)
        return tree;
    if (tree >= 0) close(tree);
    if (*state == TREE_GOOD) { /* it was replaced between the two looks: look again */
        explain(why, "%s/%s changes while it is looked at", place_path, tree_name);
        *state = TREE_DAMAGED;
    }
    return -1;
}

/* Whether the program was called attune-sensor-agent: then it is a sensor service, which no word has to say. */
static bool is_sensor_name(const char *called) {
    const char *slash = strrchr(called, '/');
    return strcmp(slash == NULL ? called : slash + 1, "attune-sensor-agent") == 0;
}

/* Become the program in the tree at `place`. Returns only when the kernel refuses. */
void start_program(const struct self *self, const char *place, int tree, char **argv, char **envp) {
    char *root = text("%s/%s", strcmp(place, "/") == 0 ? "" : place, tree_name);
    char *program = text("%s/%s", root, "attune-agent");
    char *libraries = text("%s/libc:%s/_internal", root, root);
    char *loader = text("%s/%s", root, tree_loader);
    size_t count = 0;
    while (argv[count] != NULL) count++;
    char **arguments = calloc(count + 7, sizeof *arguments);
    if (arguments == NULL) fail(EXIT_FAILED, "no memory");
    size_t used = 0;
    arguments[used++] = loader;
    arguments[used++] = "--inhibit-cache";
    arguments[used++] = "--library-path";
    arguments[used++] = libraries;
    arguments[used++] = program;
    if (count > 0 && is_sensor_name(argv[0]) && (count == 1 || argv[1][0] == '-' || strcmp(argv[1], "doctor") == 0))
        arguments[used++] = "sensor";
    for (size_t i = 1; i < count; i++) arguments[used++] = argv[i];
    execve(loader, arguments, program_environment(self, root, tree, envp));
}
