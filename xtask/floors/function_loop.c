/* The floors under function jobs: what the kernel alone takes for the same work.
 *
 *   function_loop fork COUNT           fork, the child writes 8 bytes to a pipe and exits, two in flight, each reaped
 *   function_loop round COUNT          8 bytes to a child through a pipe and 8 back, one at a time
 *   function_loop copy BYTES           so many bytes to a child through a pipe, which sends them back when it has all
 *
 * It does nothing else: no frame, no checksum, no deadline, no group. A program that does more and comes close is
 * fast. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what) {
    fprintf(stderr, "function_loop: %s: %s\n", what, strerror(errno));
    exit(125);
}

static void put(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t done = write(fd, bytes, length);
        if (done < 0) fail("write");
        bytes += done;
        length -= (size_t)done;
    }
}

static void get(int fd, char *bytes, size_t length) {
    while (length > 0) {
        ssize_t done = read(fd, bytes, length);
        if (done <= 0) fail("read");
        bytes += done;
        length -= (size_t)done;
    }
}

static pid_t start(uint64_t number, int *from) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) fail("pipe2");
    pid_t pid = fork();
    if (pid < 0) fail("fork");
    if (pid == 0) {
        number += 1;
        put(ends[1], (char *)&number, sizeof number);
        _exit(0);
    }
    close(ends[1]);
    *from = ends[0];
    return pid;
}

static void forks(long count) {
    pid_t pids[2];
    int from[2];
    for (long begun = 0, ended = 0; ended < count;) {
        if (begun < count && begun - ended < 2) {
            pids[begun % 2] = start((uint64_t)begun, &from[begun % 2]);
            begun++;
            continue;
        }
        uint64_t answer;
        get(from[ended % 2], (char *)&answer, sizeof answer);
        close(from[ended % 2]);
        if (waitpid(pids[ended % 2], NULL, 0) < 0) fail("waitpid");
        if (answer != (uint64_t)ended + 1) exit(1);
        ended++;
    }
}

/* A child that gives back what it gets, in pieces of this size; closes its input to end it. */
static pid_t echo(size_t piece, int *to, int *from) {
    int down[2], up[2];
    if (pipe2(down, O_CLOEXEC) || pipe2(up, O_CLOEXEC)) fail("pipe2");
    pid_t pid = fork();
    if (pid < 0) fail("fork");
    if (pid == 0) {
        close(down[1]);
        close(up[0]);
        char *bytes = malloc(piece);
        for (;;) {
            size_t have = 0;
            while (have < piece) {
                ssize_t done = read(down[0], bytes + have, piece - have);
                if (done < 0) fail("read");
                if (done == 0) _exit(0);
                have += (size_t)done;
            }
            put(up[1], bytes, piece);
        }
    }
    close(down[0]);
    close(up[1]);
    *to = down[1];
    *from = up[0];
    return pid;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: function_loop fork|round|copy COUNT\n");
        return 2;
    }
    long count = atol(argv[2]);
    if (strcmp(argv[1], "fork") == 0) {
        forks(count);
        return 0;
    }
    int to, from;
    int rounds = strcmp(argv[1], "round") == 0;
    size_t piece = rounds ? 8 : (size_t)count;
    char *bytes = malloc(piece);
    memset(bytes, 7, piece);
    pid_t pid = echo(piece, &to, &from);
    for (long number = 0; number < (rounds ? count : 1); number++) {
        put(to, bytes, piece);
        get(from, bytes, piece);
    }
    close(to);
    if (waitpid(pid, NULL, 0) < 0) fail("waitpid");
    return 0;
}
