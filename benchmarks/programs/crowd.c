/* Other processes on the host, for as long as this one runs.
 *
 *     crowd FIFO NUMBER
 *
 * Makes NUMBER processes that do nothing, as orphans: they are children of the process that adopts
 * orphans, as the services of a host are.  Then it writes "NANOSECONDS PID crowd" as one line into
 * FIFO.  However it ends, the pipe that the others read from ends as well, and so do they.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void do_nothing(const int end[2])
{
    char byte;

    close(end[1]);
    while (read(end[0], &byte, 1) > 0)
        ;
    _exit(0);
}

static int make_orphan(const int end[2])
{
    pid_t between = fork();
    int status;

    if (between == 0) {
        pid_t orphan = fork();
        if (orphan == 0)
            do_nothing(end);
        _exit(orphan < 0);
    }
    return between > 0 && waitpid(between, &status, 0) == between && status == 0;
}

static int announce(const char *fifo)
{
    struct timespec now;
    char line[64];
    int file, length;

    clock_gettime(CLOCK_MONOTONIC, &now);
    length = snprintf(line, sizeof line, "%lld %d crowd\n",
                      now.tv_sec * 1000000000LL + now.tv_nsec, (int)getpid());
    file = open(fifo, O_WRONLY);
    return file >= 0 && write(file, line, length) == length && close(file) == 0;
}

int main(int argc, char **argv)
{
    int number, end[2];

    if (argc != 3 || (number = atoi(argv[2])) < 1 || pipe(end) != 0)
        return 2;
    while (number-- > 0)
        if (!make_orphan(end)) {
            perror("crowd: fork");
            return 1;
        }
    if (!announce(argv[1]))
        return 1;
    for (;;)
        pause();
}
