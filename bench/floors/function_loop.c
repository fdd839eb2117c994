/* The floors under function jobs: what the kernel alone takes for the same work.
 *
 *   function_loop fork COUNT           fork, the child writes 8 bytes to a pipe and exits, two in flight, each reaped
 *   function_loop round COUNT          8 bytes to a child through a pipe and 8 back, one at a time
 *   function_loop watched COUNT        as round, through a socket whose answers are waited for by epoll
 *   function_loop copy BYTES           so many bytes to a child through a pipe, which sends them back when it has all
 *   function_loop held COUNT [GROUP]   as fork, with what keeps a job in hand and its host unharmed: a second process
 *                                      bears and reaps the children and tells of both; each child is born in the control
 *                                      group (an open directory of the second version), has a session of its own, dies
 *                                      with its parent, keeps no descriptor but its own; its job and its answer go
 *                                      through a socket, its two outputs are captured to their ends
 *
 * It does nothing else: no frame, no checksum, no deadline, no value encoded. A program that does more and comes close
 * is fast. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
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
static pid_t echo(size_t piece, int by_socket, int *to, int *from) {
    int down[2], up[2];
    if (by_socket) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) fail("socketpair");
        /* One end is the host's for both ways; as two descriptors, so that all below is the same. */
        down[0] = pair[1], up[1] = dup(pair[1]);
        down[1] = pair[0], up[0] = dup(pair[0]);
        if (up[0] < 0 || up[1] < 0) fail("dup");
    } else if (pipe2(down, O_CLOEXEC) || pipe2(up, O_CLOEXEC)) fail("pipe2");
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

/* A message with descriptors; its length, 0 at the end. */
static size_t tell(int fd, int64_t word, const int *given, size_t count) {
    union { char bytes[CMSG_SPACE(4 * sizeof(int))]; struct cmsghdr align; } control;
    struct iovec part = {&word, sizeof word};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        *head = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(head), given, count * sizeof(int));
    }
    ssize_t done = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (done < 0) fail("sendmsg");
    return (size_t)done;
}

static size_t hear(int fd, int64_t *word, int *given, size_t count) {
    union { char bytes[CMSG_SPACE(4 * sizeof(int))]; struct cmsghdr align; } control;
    struct iovec part = {word, sizeof *word};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = sizeof control};
    ssize_t done = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (done < 0) fail("recvmsg");
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head) memcpy(given, CMSG_DATA(head), count * sizeof(int));
    return (size_t)done;
}

/* A fork whose child is born in the group, if there is one. */
static pid_t bear(int group, int *handle) {
    struct clone_args args = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)handle, .exit_signal = SIGCHLD};
    if (group >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)group;
    }
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

/* The child: 0, 1, 2 and its channel are all it has. */
static void work(const int *given, int null, pid_t parent) {
    sigset_t none;
    sigemptyset(&none);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    dup2(null, 0);
    dup2(given[0], 1);
    dup2(given[1], 2);
    dup2(given[2], 3);
    syscall(SYS_close_range, 4, ~0U, 0);
    sigprocmask(SIG_SETMASK, &none, NULL);
    uint64_t number;
    get(3, (char *)&number, sizeof number);
    number += 1;
    put(3, (char *)&number, sizeof number);
    _exit(0);
}

/* The second process: start in, end out, until the first one leaves. */
static void bear_all(int socket, int group) {
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), poll = epoll_create1(EPOLL_CLOEXEC);
    int signals = signalfd(-1, &ends, SFD_CLOEXEC);
    pid_t own = getpid(), pids[2] = {0, 0};
    int handles[2];
    for (int which = 0; which < 2; which++) {
        struct epoll_event wanted = {.events = EPOLLIN, .data.fd = which ? signals : socket};
        epoll_ctl(poll, EPOLL_CTL_ADD, wanted.data.fd, &wanted);
    }
    for (;;) {
        struct epoll_event ready;
        if (epoll_wait(poll, &ready, 1, -1) < 1) fail("epoll_wait");
        if (ready.data.fd == socket) {
            int64_t slot;
            int given[3];
            if (hear(socket, &slot, given, 3) == 0) _exit(0);
            pids[slot] = bear(group, &handles[slot]);
            if (pids[slot] < 0) fail("clone3");
            if (pids[slot] == 0) work(given, null, own);
            for (int which = 0; which < 3; which++) close(given[which]);
            continue;
        }
        struct signalfd_siginfo info;
        if (read(signals, &info, sizeof info) < 0) fail("read");
        siginfo_t ended;
        for (;;) {
            ended.si_pid = 0;
            if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) || ended.si_pid == 0) break;
            int64_t slot = ended.si_pid == pids[1];
            waitid(P_PID, (id_t)ended.si_pid, &ended, WEXITED);
            pids[slot] = 0;
            tell(socket, slot, &handles[slot], 1);
            close(handles[slot]);
        }
    }
}

static void held(long count, const char *path) {
    int pair[2], group = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) fail("socketpair");
    pid_t pid = fork();
    if (pid < 0) fail("fork");
    if (pid == 0) {
        close(pair[0]);
        bear_all(pair[1], group);
    }
    close(pair[1]);
    int channel[2], outputs[2][2];
    uint64_t numbers[2];
    for (long begun = 0, ended = 0; ended < count;) {
        int64_t slot = begun;
        if (begun < count && begun < 2) {
            begun++;
        } else {
            int handle;
            hear(pair[0], &slot, &handle, 1);
            uint64_t answer;
            get(channel[slot], (char *)&answer, sizeof answer);
            if (answer != numbers[slot] + 1) exit(1);
            for (int which = 0; which < 2; which++) {
                char rest;
                if (read(outputs[slot][which], &rest, 1) != 0) exit(1);
                close(outputs[slot][which]);
            }
            close(channel[slot]);
            close(handle);
            ended++;
            if (begun == count) continue;
            begun++;
        }
        int given[3], ends[2];
        for (int which = 0; which < 2; which++) {
            if (pipe2(ends, O_CLOEXEC)) fail("pipe2");
            outputs[slot][which] = ends[0];
            given[which] = ends[1];
        }
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) fail("socketpair");
        channel[slot] = ends[0];
        given[2] = ends[1];
        numbers[slot] = (uint64_t)begun;
        put(channel[slot], (char *)&numbers[slot], sizeof numbers[slot]);
        tell(pair[0], slot, given, 3);
        for (int which = 0; which < 3; which++) close(given[which]);
    }
    close(pair[0]);
    if (waitpid(pid, NULL, 0) < 0) fail("waitpid");
}

int main(int argc, char **argv) {
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: function_loop fork|round|watched|copy|held COUNT [GROUP]\n");
        return 2;
    }
    long count = atol(argv[2]);
    if (strcmp(argv[1], "held") == 0) {
        held(count, argc == 4 ? argv[3] : NULL);
        return 0;
    }
    if (strcmp(argv[1], "fork") == 0) {
        forks(count);
        return 0;
    }
    int to, from;
    int watched = strcmp(argv[1], "watched") == 0, rounds = watched || strcmp(argv[1], "round") == 0;
    size_t piece = rounds ? 8 : (size_t)count;
    char *bytes = malloc(piece);
    memset(bytes, 7, piece);
    pid_t pid = echo(piece, watched, &to, &from);
    struct epoll_event wanted = {.events = EPOLLIN};
    int poll = epoll_create1(EPOLL_CLOEXEC);
    if (poll < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, from, &wanted)) fail("epoll");
    for (long number = 0; number < (rounds ? count : 1); number++) {
        put(to, bytes, piece);
        if (watched && epoll_wait(poll, &wanted, 1, -1) < 1) fail("epoll_wait");
        get(from, bytes, piece);
    }
    close(to);
    close(from);
    if (waitpid(pid, NULL, 0) < 0) fail("waitpid");
    return 0;
}
