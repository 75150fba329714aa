/* The smallest container there is: a shell with a pid namespace of its own.
 *
 * cc -Wall -o pid pid.c
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_SIZE (1024 * 1024)

static char child_stack[STACK_SIZE];

/* What the child does: it says so, and becomes a shell. */
static int child_main(void *arg)
{
    char *const argv[] = { "/bin/bash", NULL };

    (void)arg;
    printf("In the child process!\n");
    execv(argv[0], argv);
    perror("execv");
    return 1;
}

int main(void)
{
    int pid;

    /* The child gets a copy of our memory, and with it of what printf has buffered and not yet written. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("The program begins.\n");

    /* The stack grows downwards on this processor, so clone() is given its upper end. */
    pid = clone(child_main, child_stack + STACK_SIZE,
                CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | SIGCHLD, NULL);
    if (pid < 0) {
        perror("clone");
        return 1;
    }
    waitpid(pid, NULL, 0);
    printf("The child has ended.\n");
    return 0;
}
