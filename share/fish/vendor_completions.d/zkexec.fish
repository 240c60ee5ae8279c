# Completion of zkexec for fish; drawn by tools/draw_papers.py.

# Writes the files whose names begin with the second word, each behind the first word.
function __zkexec_files_behind
    for file in $argv[2]*
        test -d $file
        and set file $file/
        echo -- $argv[1]$file
    end
end

function __zkexec_auth
    set -l token (string replace -r '^--auth=' '' -- (commandline -ct))
    set -l parts (string split -m 1 @ -- $token)
    if test (count $parts) -eq 2
        __zkexec_files_behind $parts[1]@ $parts[2]
    else
        printf '%s\n' digest:@ sasl:@
    end
end

function __zkexec_template
    set -l token (string replace -r '^--template=' '' -- (commandline -ct))
    set -l parts (string split -m 1 =@ -- $token)
    if test (count $parts) -eq 2
        __zkexec_files_behind $parts[1]=@ $parts[2]
    end
end

function __zkexec_has_command
    set -l words (commandline -opc)
    contains -- -- $words
end

# What stands behind -- is completed as it is without zkexec.
function __zkexec_command
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l at (contains -i -- -- $words)
    set -e words[1..$at]
    complete -C (string join -- ' ' (string escape -- $words) "$current")
end

complete -c zkexec -f
complete -c zkexec -n __zkexec_has_command -a '(__zkexec_command)'
complete -c zkexec -n 'not __zkexec_has_command' -s e -l exec -r -F -a '(__fish_complete_command)' -d 'Run this command; through /bin/sh only if it contains shell syntax'
complete -c zkexec -n 'not __zkexec_has_command' -l kill-signal -x -a 'TERM INT QUIT HUP USR1 USR2 KILL' -d 'Stop the command for a restart with this signal (a name or a number)'
complete -c zkexec -n 'not __zkexec_has_command' -l kill-timeout -x -d 'Kill what is left of a stopped command after this time'
complete -c zkexec -n 'not __zkexec_has_command' -l subreaper -d 'Adopt and reap the orphans of the command, as PID 1 does'
complete -c zkexec -n 'not __zkexec_has_command' -l notify -x -a 'command zkexec' -d 'Leave NOTIFY_SOCKET to the command (command), or report to systemd from zkexec (zkexec): ready when the command is healthy, what it waits for, reloads, and the watchdog'
complete -c zkexec -n 'not __zkexec_has_command' -s m -l mirror -r -F -d 'Mirror a config file from zookeeper to localhost, or with DIR/=ZK_PATH/ all znodes below ZK_PATH into the folder DIR; give it once for each (in the variable: several pairs, separated by blanks)'
complete -c zkexec -n 'not __zkexec_has_command' -s t -l template -r -F -a '(__zkexec_template)' -d 'Render the template in this znode or local file into LOCAL_PATH, by Jinja2; it reads the trees of --values (in the variable: several, separated by blanks)'
complete -c zkexec -n 'not __zkexec_has_command' -l values -x -d 'Let templates read the znodes of this tree (in the variable: several, separated by blanks)'
complete -c zkexec -n 'not __zkexec_has_command' -l template-timeout -x -d 'End a rendering that takes longer; it has failed; at least 0.1'
complete -c zkexec -n 'not __zkexec_has_command' -l env -x -d 'Give the command the variable NAME with the content of this znode; a change restarts (in the variable: several, separated by blanks)'
complete -c zkexec -n 'not __zkexec_has_command' -l env-tree -x -d 'Give the command a variable for each znode with content below ZK_PATH: PREFIX and its path, in upper case, with _ for other characters (in the variable: several, separated by blanks)'
complete -c zkexec -n 'not __zkexec_has_command' -l pristine -d 'Let the command inherit no variables: it gets only those of --env and --env-tree'
complete -c zkexec -n 'not __zkexec_has_command' -l mode -x -d 'Give the file PATH, or all files below the folder PATH/, this mode; without PATH, every file; the longest PATH counts (in the variable: several, separated by blanks)'
complete -c zkexec -n 'not __zkexec_has_command' -l owner -x -d 'Give the file PATH, or all files below the folder PATH/, this owner, by names or numbers; otherwise as --mode (in the variable: several, separated by blanks)'
complete -c zkexec -n 'not __zkexec_has_command' -l state-dir -r -F -d 'Remember in this folder what was installed, if there are trees, templates or variables; by default $STATE_DIRECTORY, or /var/lib/zkexec as root, or else $XDG_STATE_HOME/zkexec'
complete -c zkexec -n 'not __zkexec_has_command' -l start -x -a 'fresh wait cached' -d 'At the first start: require every znode (fresh), wait for missing ones (wait), or use the last good files if the cluster is unreachable (cached)'
complete -c zkexec -n 'not __zkexec_has_command' -l allow-empty -d 'Accept an empty znode as content instead of keeping the file'
complete -c zkexec -n 'not __zkexec_has_command' -l settle -x -d 'Handle changes within this time of each other as one change'
complete -c zkexec -n 'not __zkexec_has_command' -l check -r -F -a '(__fish_complete_command)' -d 'Examine the new files with this command before anything is stopped or installed: $1, $2, ... are copies of them, in the order of --mirror and --template (a command without shell syntax gets them as its last arguments), and $ZKEXEC_STAGED is a folder with all of them at their full paths; if it fails, the change is not applied'
complete -c zkexec -n 'not __zkexec_has_command' -l check-timeout -x -d 'Kill a check that takes longer; it has failed; at least 0.1'
complete -c zkexec -n 'not __zkexec_has_command' -l on-change -x -a 'restart reload none' -d 'Apply a change of the file PATH, or of all files below the folder PATH/, by this action: restart the command, reload it, or none, if it notices new files by itself; without PATH, of every file; the longest PATH counts for a file, and the strongest action for a change (in the variable: several, separated by blanks)'
complete -c zkexec -n 'not __zkexec_has_command' -l reload-signal -x -a 'HUP USR1 USR2' -d 'Reload by this signal to the process of the command (a name or a number); in a group, this needs a check'
complete -c zkexec -n 'not __zkexec_has_command' -l reload -r -F -a '(__fish_complete_command)' -d 'Reload by this command instead of a signal; $ZKEXEC_PID is the process of the command; if it fails, the old files are put back'
complete -c zkexec -n 'not __zkexec_has_command' -l reload-timeout -x -d 'Kill a reload command that takes longer; it has failed; at least 0.1'
complete -c zkexec -n 'not __zkexec_has_command' -l pre-stop -r -F -a '(__fish_complete_command)' -d 'Run this command before the command is stopped, to drain it for example; $ZKEXEC_EVENT is restart or end; if it fails before a restart, nothing is stopped'
complete -c zkexec -n 'not __zkexec_has_command' -l pre-stop-timeout -x -d 'Kill a pre-stop command that takes longer; it has failed; at least 0.1'
complete -c zkexec -n 'not __zkexec_has_command' -l post-healthy -r -F -a '(__fish_complete_command)' -d 'Run this command when a started command is healthy, to put it into traffic for example; health checks begin at once then; a change has succeeded only when this has; if it fails, it runs again'
complete -c zkexec -n 'not __zkexec_has_command' -l post-healthy-timeout -x -d 'Kill a post-healthy command that takes longer; it has failed; at least 0.1'
complete -c zkexec -n 'not __zkexec_has_command' -l stage-only -r -F -d 'Start nothing: write the files that would be installed into the new folder DIR, at their full paths, and run the check; exit with 0, or with 1 if the check failed'
complete -c zkexec -n 'not __zkexec_has_command' -s H -l health -r -F -a '(__fish_complete_command)' -d 'Run this command to health-check'
complete -c zkexec -n 'not __zkexec_has_command' -s i -l health-interval -x -d 'Health-check every INTERVAL seconds'
complete -c zkexec -n 'not __zkexec_has_command' -s d -l health-delay -x -d 'Wait INTERVAL seconds before starting health checks; in a group, the time that the command has to become healthy after a change'
complete -c zkexec -n 'not __zkexec_has_command' -l health-timeout -x -d 'Kill a health check that takes longer; it has failed; at least 0.1'
complete -c zkexec -n 'not __zkexec_has_command' -s a -l alert -r -F -a '(__fish_complete_command)' -d 'Run this command if the primary command or a health check fails, or if a change cannot be applied'
complete -c zkexec -n 'not __zkexec_has_command' -l alert-interval -x -d 'While health checks fail, alert at most this often; 0: at each failed check'
complete -c zkexec -n 'not __zkexec_has_command' -l alert-recovery -d 'Alert also when a failure is over'
complete -c zkexec -n 'not __zkexec_has_command' -s l -l lock -x -d 'Restart in turns with all zkexec that have this lock NAME and cluster; NAME is a znode below /zkexec, or a path if it begins with /'
complete -c zkexec -n 'not __zkexec_has_command' -l max-unavailable -x -d 'Restart at most this many members at once: a number (2), a percentage (25%), or a percentage of the members in the zone (25%/zone); a version that is not known good is tried by one member alone, and then by at most twice as many as have succeeded'
complete -c zkexec -n 'not __zkexec_has_command' -l max-failed -x -d 'Once ten members have succeeded, do not pause the rollout if at most this many fail: a number (2) or a percentage (5%); they count toward --max-unavailable'
complete -c zkexec -n 'not __zkexec_has_command' -l zone -x -d 'The zone of this member, such as its rack: members of two zones never restart at once; members without it form one zone'
complete -c zkexec -n 'not __zkexec_has_command' -l min-healthy -x -d 'Release the turn when the command has been healthy for this time; by default 0, or 1 without a health check, or 2 with one if the command was not restarted'
complete -c zkexec -n 'not __zkexec_has_command' -l on-failure -x -a 'pause revert' -d 'After a config failure, wait for new content (pause), or also put the last good files back and run on these (revert)'
complete -c zkexec -n 'not __zkexec_has_command' -l member-id -x -d 'The name of this member in the group, unique and the same after a restart; by default made from the host and the command line'
complete -c zkexec -n 'not __zkexec_has_command' -s c -l cluster -x -d 'Comma-delimited list of zookeeper hosts; the default port is 2181, IPv6 is in brackets, a chroot can follow: HOST:PORT,.../PATH'
complete -c zkexec -n 'not __zkexec_has_command' -l connect-timeout -x -d 'Give up a first connection after this time; at least 0.1'
complete -c zkexec -n 'not __zkexec_has_command' -l session-timeout -x -d 'Request a session of this length; from 1 to 3600'
complete -c zkexec -n 'not __zkexec_has_command' -l auth -x -a '(__zkexec_auth)' -d 'Prove an identity to the cluster: digest or sasl (DIGEST-MD5), with USER:PASSWORD in the file (in the variable: several, separated by blanks, also as SCHEME:USER:PASSWORD)'
complete -c zkexec -n 'not __zkexec_has_command' -l acl -x -a 'open creator creator+read' -d 'Who may use the znodes that zkexec creates: everybody (open), the identities of --auth and --tls-cert (creator), and others may read (creator+read), or SCHEME:ID:PERMS,... as in zkCli'
complete -c zkexec -n 'not __zkexec_has_command' -l tls-ca -r -F -a 'system' -d 'Use TLS, and only servers with a certificate for their host name from one of these CAs; system: from those that the system trusts'
complete -c zkexec -n 'not __zkexec_has_command' -l tls-cert -r -F -d 'Show this certificate to the servers'
complete -c zkexec -n 'not __zkexec_has_command' -l tls-key -r -F -d 'The key of that certificate, without a passphrase'
complete -c zkexec -n 'not __zkexec_has_command' -l log-format -x -a 'text json' -d 'Log as text, or as json: one object a line'
complete -c zkexec -n 'not __zkexec_has_command' -l metrics-file -r -F -d 'Write metrics for the textfile collector of Prometheus\'s node_exporter into this file, at each change and each minute; its name has to end with .prom for that'
complete -c zkexec -n 'not __zkexec_has_command' -l keep-stderr -d 'Pass on what the command writes to stderr, and add its last line to the reason if it fails or is not healthy: in the log, for the alert, and in a group also in ZooKeeper and in `zkexecctl status`; the stderr of the command is a pipe then'
complete -c zkexec -n 'not __zkexec_has_command' -s v -l verbose -d 'Log also decisions and reasons'
complete -c zkexec -n 'not __zkexec_has_command' -s s -l silent -d 'Log only one line for a fatal error'
complete -c zkexec -n 'not __zkexec_has_command' -s h -l help -d 'Show this message'
complete -c zkexec -n 'not __zkexec_has_command' -l version -d 'Show the version'
