/* The one-file agent's first program: answers what needs no Python, else finds or unpacks the frozen agent and becomes it. */
#include "launcher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct self self;
static struct place places[MAX_PLACES];
static size_t place_count;

/* What was tried and why it can't be used, for the one sentence that ends it all. */
static char tried[8192];

static void remember(const struct place *place, const char *why) {
    size_t length = strlen(tried);
    snprintf(tried + length, sizeof tried - length, "%s%s: %s", length == 0 ? "" : "; ", place->path, why);
}

/* Start from the tree at this place if it is good. Returns when it isn't, with the reason. */
static enum tree_state start_from(const struct place *place, int fd, char **argv, char **envp, char *why) {
    enum tree_state state;
    int tree = hold_tree(fd, place->path, self.owner, &state, why);
    if (tree < 0) return state;
    if (may_execute(tree, why)) {
        start_program(&self, place->path, tree, argv, envp);
        explain(why, "can't be started: %s", strerror(errno));
    }
    close(tree);
    return TREE_REFUSED;
}

/* Whether an unpacked tree lies where it can't be used: then the operator should know. */
static bool holds_tree(const struct place *place) {
    char path[PATH_MAX + NAME_SIZE];
    snprintf(path, sizeof path, "%s/%s", place->path, tree_name);
    return access(path, F_OK) == 0;
}

/* First pass: a tree that is there already. Nothing is written. */
static void start_from_unpacked(char **argv, char **envp) {
    char why[WHY_SIZE];
    for (size_t i = 0; i < place_count; i++) {
        int fd = open_place(&places[i], false, self.owner, why);
        if (fd < 0) {
            if (holds_tree(&places[i])) say("does not use the unpacked files in %s: %s", places[i].path, why);
            continue;
        }
        enum tree_state state = start_from(&places[i], fd, argv, envp, why);
        if (state == TREE_DAMAGED || state == TREE_REFUSED)
            say("does not use the unpacked files in %s: %s", places[i].path, why);
        close(fd);
    }
}

/* Second pass: unpack into the first place that takes it. */
static void start_from_fresh(char **argv, char **envp) {
    char why[WHY_SIZE];
    require_whole_file(&self);
    for (size_t i = 0; i < place_count; i++) {
        int fd = open_place(&places[i], true, self.owner, why);
        if (fd < 0) {
            remember(&places[i], why);
            continue;
        }
        if (unpack_tree(fd, self.owner, why)) start_from(&places[i], fd, argv, envp, why);
        remember(&places[i], why);
        close(fd);
    }
}

int main(int argc, char **argv, char **envp) {
    require_own_rights();
    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) return printf("attune-agent %s\n", tree_version) > 0 ? 0 : 1;
    if (argc >= 2 && strcmp(argv[1], "health") == 0) return health_command(argc - 2, argv + 2);
    find_self(&self);
    if (argc >= 2 && strcmp(argv[1], "install") == 0) return install_command(&self, argc - 2, argv + 2);
    require_machine();
    place_count = list_places(&self, places);
    start_from_unpacked(argv, envp);
    start_from_fresh(argv, envp);
    fail(EXIT_NO_PLACE,
         "no directory where it may write and execute (%s); run `attune-agent install DIR` in the image or an init "
         "container, or mount a writable, executable directory and name it in ATTUNE_LAUNCHER_DIR", tried);
}
