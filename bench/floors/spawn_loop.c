/* The floor under every row that starts commands: posix_spawn N times with K in flight, each ended by waitid.
 *
 *   spawn_loop COUNT IN_FLIGHT null PROGRAM [ARG..]      children share our stdin, stdout and stderr
 *   spawn_loop COUNT IN_FLIGHT capture PROGRAM [ARG..]   stdout and stderr of each through two pipes, thrown away
 *
 * A word that is exactly "{}" or holds "%d" becomes, or gets, the number of the job, so that
 * `spawn_loop 1000 2 null sh -c 'echo %d'` does the work of a line per job. It does nothing else: no session, no
 * group, no deadline, no record. A program that does more and comes close is fast. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { IN_FLIGHT_MAX = 1024, WORDS_MAX = 64, WORD_BYTES_MAX = 4096 };

struct child {
    pid_t pid;
    int out, err; /* -1 when closed or not captured */
};

static struct child children[IN_FLIGHT_MAX];
static char words[WORDS_MAX][WORD_BYTES_MAX];

static void fail(const char *what, int code) {
    fprintf(stderr, "spawn_loop: %s: %s\n", what, strerror(code));
    exit(125);
}

static void start(struct child *child, char **template, int words_count, long number, int capture) {
    char *argv[WORDS_MAX + 1];
    for (int i = 0; i < words_count; i++) {
        argv[i] = template[i];
        if (strcmp(template[i], "{}") == 0 || strstr(template[i], "%d")) {
            const char *hole = strstr(template[i], "%d");
            size_t head = hole ? (size_t)(hole - template[i]) : 0;
            snprintf(words[i], WORD_BYTES_MAX, "%.*s%ld%s", (int)head, template[i], number, hole ? hole + 2 : "");
            argv[i] = words[i];
        }
    }
    argv[words_count] = NULL;

    posix_spawn_file_actions_t actions, *chosen = NULL;
    int out[2] = {-1, -1}, err[2] = {-1, -1};
    if (capture) {
        if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) fail("pipe2", errno);
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, out[1], 1);
        posix_spawn_file_actions_adddup2(&actions, err[1], 2);
        chosen = &actions;
    }
    int code = posix_spawnp(&child->pid, argv[0], chosen, NULL, argv, environ);
    if (code) fail(argv[0], code);
    child->out = out[0];
    child->err = err[0];
    if (capture) {
        posix_spawn_file_actions_destroy(&actions);
        close(out[1]);
        close(err[1]);
    }
}

static void drain(int *fd) {
    char block[65536];
    ssize_t got = read(*fd, block, sizeof block);
    if (got < 0 && errno == EINTR) return;
    if (got <= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* Reads until some child has closed both pipes: then its end is near, and waitid for it does not block long. */
static pid_t read_until_one_is_done(int in_flight) {
    for (;;) {
        struct pollfd polls[2 * IN_FLIGHT_MAX];
        int *owners[2 * IN_FLIGHT_MAX];
        int count = 0;
        for (int i = 0; i < in_flight; i++) {
            struct child *child = &children[i];
            if (!child->pid) continue;
            if (child->out < 0 && child->err < 0) return child->pid;
            if (child->out >= 0) polls[count].fd = child->out, owners[count++] = &child->out;
            if (child->err >= 0) polls[count].fd = child->err, owners[count++] = &child->err;
        }
        for (int i = 0; i < count; i++) polls[i].events = POLLIN;
        if (poll(polls, count, -1) < 0 && errno != EINTR) fail("poll", errno);
        for (int i = 0; i < count; i++)
            if (polls[i].revents) drain(owners[i]);
    }
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: spawn_loop COUNT IN_FLIGHT null|capture PROGRAM [ARG..]\n");
        return 125;
    }
    long count = atol(argv[1]);
    int in_flight = atoi(argv[2]);
    int capture = strcmp(argv[3], "capture") == 0;
    if (in_flight < 1 || in_flight > IN_FLIGHT_MAX || argc - 4 > WORDS_MAX) fail("argument", EINVAL);

    long started = 0, running = 0;
    for (int i = 0; i < in_flight && started < count; i++, started++, running++)
        start(&children[i], argv + 4, argc - 4, started + 1, capture);
    while (running > 0) {
        siginfo_t info;
        pid_t awaited = capture ? read_until_one_is_done(in_flight) : 0;
        if (waitid(capture ? P_PID : P_ALL, awaited, &info, WEXITED)) {
            if (errno == EINTR) continue;
            fail("waitid", errno);
        }
        if (info.si_code != CLD_EXITED || info.si_status == 127) fail("a job failed", ECHILD);
        struct child *child = children;
        while (child->pid != info.si_pid) child++;
        if (started < count)
            start(child, argv + 4, argc - 4, ++started, capture);
        else
            child->pid = 0, running--;
    }
    return 0;
}
