/* Executes COMMAND so that it is told to stop when its parent is gone: nothing is left running.
 *
 *     bound COMMAND [ARGUMENT...]
 */
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    execv(argv[1], argv + 1);
    return 127;
}
