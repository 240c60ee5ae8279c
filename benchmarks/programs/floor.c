/* The floor of process work: what a change costs where no ZooKeeper and no Python is in the way.
 *
 *     floor PIPE FILE COMMAND [ARGUMENT...]
 *
 * Whatever is read from PIPE takes FILE's place: written, synced and renamed.  Then COMMAND is
 * told to stop, waited for, and started anew.  PIPE stands for the watch and the read.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int install(const char *path, const char *content, ssize_t length)
{
    char draft[4096];
    int file;

    snprintf(draft, sizeof draft, "%s.new", path);
    file = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0 || write(file, content, length) != length || fsync(file) != 0)
        return -1;
    close(file);
    return rename(draft, path);
}

int main(int argc, char **argv)
{
    static char content[65536];
    ssize_t length;
    pid_t child = 0;
    int pipe;

    if (argc < 4 || (pipe = open(argv[1], O_RDWR | O_CLOEXEC)) < 0)
        return 2;
    for (;;) {
        length = read(pipe, content, sizeof content);
        if (length <= 0 || install(argv[2], content, length) != 0)
            return 1;
        if (child) {
            kill(child, SIGTERM);
            waitpid(child, NULL, 0);
        }
        if (posix_spawn(&child, argv[3], NULL, NULL, argv + 3, environ) != 0)
            return 1;
    }
}
