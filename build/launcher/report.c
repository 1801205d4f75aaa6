/* Sentences on stderr. Nothing else is ever printed but what was asked for. */
#include "launcher.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void write_line(const char *format, va_list arguments) {
    static char line[16384];
    int start = snprintf(line, sizeof line, "attune-agent: ");
    int length = vsnprintf(line + start, sizeof line - (size_t)start - 1, format, arguments);
    size_t total = (size_t)start + (length < 0 ? 0 : (size_t)length);
    if (total > sizeof line - 2) total = sizeof line - 2;
    line[total++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, total); /* one write, so that lines of two processes don't mix */
    (void)written;
}

void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    write_line(format, arguments);
    va_end(arguments);
}

_Noreturn void fail(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    write_line(format, arguments);
    va_end(arguments);
    _exit(code);
}

/* Store a reason of at most WHY_SIZE bytes in `why`. */
void explain(char *why, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, WHY_SIZE, format, arguments);
    va_end(arguments);
}
