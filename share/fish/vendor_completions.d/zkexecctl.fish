# Completion of zkexecctl for fish; drawn by tools/draw_papers.py.

# Writes the files whose names begin with the second word, each behind the first word.
function __zkexecctl_files_behind
    for file in $argv[2]*
        test -d $file
        and set file $file/
        echo -- $argv[1]$file
    end
end

function __zkexecctl_auth
    set -l token (string replace -r '^--auth=' '' -- (commandline -ct))
    set -l parts (string split -m 1 @ -- $token)
    if test (count $parts) -eq 2
        __zkexecctl_files_behind $parts[1]@ $parts[2]
    else
        printf '%s\n' digest:@ sasl:@
    end
end

function __zkexecctl_at
    set -l token (string replace -r '^--token=' '' -- (commandline -ct))
    set -l parts (string split -m 1 @ -- $token)
    if test (count $parts) -eq 2
        __zkexecctl_files_behind @ $parts[2]
    else
        echo @
    end
end

# Writes the subcommand that stands before the cursor; false where there is none yet.
function __zkexecctl_subcommand
    set -l words (commandline -opc)
    set -l skips no
    for word in $words[2..-1]
        if test $skips = yes
            set skips no
            continue
        end
        switch $word
            case -c --cluster --connect-timeout --auth --tls-ca --tls-cert --tls-key --timeout --listen --token --host --user-header --trusted-proxy -l --lock --check --acl -m --message --by --to --reason --port --ensemble
                set skips yes
            case '-*'
            case '*'
                echo -- $word
                return 0
        end
    end
    return 1
end

function __zkexecctl_lacks_subcommand
    not __zkexecctl_subcommand >/dev/null
end

function __zkexecctl_is
    contains -- (__zkexecctl_subcommand) $argv
end

# Writes names that the cluster has, as zkexecctl reports them; none if it does not answer soon.
function __zkexecctl_names
    set -l words (commandline -opc)
    command -q $words[1]
    and command $words[1] complete-words $words[2..-1] (commandline -ct) 2>/dev/null
end

complete -c zkexecctl -f
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a status -d 'List the groups, or show one and its members'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a wait -d 'Wait until all members are up to date'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a web -d 'Serve a web page of the groups, and their metrics'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a exporter -d 'Serve metrics of the groups for Prometheus'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a push -d 'Show what changes, ask, and write files to znodes'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a pull -d 'Write a tree into a new or empty folder'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a undo -d 'Push the previous content again'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a history -d 'List what was pushed, when, by whom and why'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a show -d 'Write the content of a znode to stdout'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a diff -d 'Compare an earlier content with the present one'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a pause -d 'Admit no member of a group any more'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a resume -d 'Let a paused rollout continue'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a approve -d 'Let all members follow a push that is held'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a retry -d 'Try a failed version again, on one member'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a restart -d 'Restart all members in turn, without a change'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a forget -d 'Reclaim the turn of a member that will not come back'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a delete -d 'Remove a group without members, or a znode'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a dev -d 'Run a throwaway ZooKeeper in the foreground'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a completion -d 'Print the completions for a shell'
complete -c zkexecctl -n __zkexecctl_lacks_subcommand -a help -d 'Show what a subcommand is for'
complete -c zkexecctl -n '__zkexecctl_is help' -a status -d 'List the groups, or show one and its members'
complete -c zkexecctl -n '__zkexecctl_is help' -a wait -d 'Wait until all members are up to date'
complete -c zkexecctl -n '__zkexecctl_is help' -a web -d 'Serve a web page of the groups, and their metrics'
complete -c zkexecctl -n '__zkexecctl_is help' -a exporter -d 'Serve metrics of the groups for Prometheus'
complete -c zkexecctl -n '__zkexecctl_is help' -a push -d 'Show what changes, ask, and write files to znodes'
complete -c zkexecctl -n '__zkexecctl_is help' -a pull -d 'Write a tree into a new or empty folder'
complete -c zkexecctl -n '__zkexecctl_is help' -a undo -d 'Push the previous content again'
complete -c zkexecctl -n '__zkexecctl_is help' -a history -d 'List what was pushed, when, by whom and why'
complete -c zkexecctl -n '__zkexecctl_is help' -a show -d 'Write the content of a znode to stdout'
complete -c zkexecctl -n '__zkexecctl_is help' -a diff -d 'Compare an earlier content with the present one'
complete -c zkexecctl -n '__zkexecctl_is help' -a pause -d 'Admit no member of a group any more'
complete -c zkexecctl -n '__zkexecctl_is help' -a resume -d 'Let a paused rollout continue'
complete -c zkexecctl -n '__zkexecctl_is help' -a approve -d 'Let all members follow a push that is held'
complete -c zkexecctl -n '__zkexecctl_is help' -a retry -d 'Try a failed version again, on one member'
complete -c zkexecctl -n '__zkexecctl_is help' -a restart -d 'Restart all members in turn, without a change'
complete -c zkexecctl -n '__zkexecctl_is help' -a forget -d 'Reclaim the turn of a member that will not come back'
complete -c zkexecctl -n '__zkexecctl_is help' -a delete -d 'Remove a group without members, or a znode'
complete -c zkexecctl -n '__zkexecctl_is help' -a dev -d 'Run a throwaway ZooKeeper in the foreground'
complete -c zkexecctl -n '__zkexecctl_is help' -a completion -d 'Print the completions for a shell'
complete -c zkexecctl -n 'not __zkexecctl_is dev completion' -s c -l cluster -x -d 'Comma-delimited list of zookeeper hosts; the default port is 2181, IPv6 is in brackets, a chroot can follow: HOST:PORT,.../PATH'
complete -c zkexecctl -n 'not __zkexecctl_is dev completion' -l connect-timeout -x -d 'Give up a first connection after this time; at least 0.1'
complete -c zkexecctl -n 'not __zkexecctl_is dev completion' -l auth -x -a '(__zkexecctl_auth)' -d 'Prove an identity to the cluster: digest or sasl (DIGEST-MD5), with USER:PASSWORD in the file (in the variable: several, separated by blanks, also as SCHEME:USER:PASSWORD)'
complete -c zkexecctl -n 'not __zkexecctl_is dev completion' -l tls-ca -r -F -a 'system' -d 'Use TLS, and only servers with a certificate for their host name from one of these CAs; system: from those that the system trusts'
complete -c zkexecctl -n 'not __zkexecctl_is dev completion' -l tls-cert -r -F -d 'Show this certificate to the servers'
complete -c zkexecctl -n 'not __zkexecctl_is dev completion' -l tls-key -r -F -d 'The key of that certificate, without a passphrase'
complete -c zkexecctl -n 'true' -s h -l help -d 'Show this message'
complete -c zkexecctl -n 'true' -l version -d 'Show the version'
complete -c zkexecctl -n '__zkexecctl_is status' -s w -l watch -d 'Keep showing it as it changes, until Ctrl-C'
complete -c zkexecctl -n '__zkexecctl_is status' -l until-done -d 'Watch until the rollout of NAME is over, and exit as \'zkexecctl wait\' does'
complete -c zkexecctl -n '__zkexecctl_is status' -l all -d 'Show all members of NAME, however many they are'
complete -c zkexecctl -n '__zkexecctl_is status' -l events -d 'Show what each member of NAME did in this rollout, the oldest first, and what operators did'
complete -c zkexecctl -n '__zkexecctl_is status' -l json -d 'Write JSON, for programs'
complete -c zkexecctl -n '__zkexecctl_is status' -a '(__zkexecctl_names)'
complete -c zkexecctl -n '__zkexecctl_is wait' -l timeout -x -d 'Stop waiting after this time; without it, wait for ever'
complete -c zkexecctl -n '__zkexecctl_is wait' -a '(__zkexecctl_names)'
complete -c zkexecctl -n '__zkexecctl_is web' -l listen -x -d 'Listen here; beyond this machine only with --token, which then also guards reading'
complete -c zkexecctl -n '__zkexecctl_is web' -l token -x -a '(__zkexecctl_at)' -d 'The file with the token, which only you may read (mode 0600): one line of at least 32 characters'
complete -c zkexecctl -n '__zkexecctl_is web' -l actions -d 'Let those who log in with the token pause, resume, approve, retry, restart and forget'
complete -c zkexecctl -n '__zkexecctl_is web' -l host -x -d 'A name under which the server is reached, beside localhost and the address that it listens on; requests under another name are refused'
complete -c zkexecctl -n '__zkexecctl_is web' -l behind-tls -d 'Browsers connect to a proxy with TLS: cookies are sent over TLS only, and with --token reading is guarded, too'
complete -c zkexecctl -n '__zkexecctl_is web' -l user-header -x -d 'The header in which the proxy names the user, who may read and is recorded for what is done'
complete -c zkexecctl -n '__zkexecctl_is web' -l trusted-proxy -x -d 'Believe --user-header, and the address in X-Forwarded-For, only if a request comes from this address'
complete -c zkexecctl -n '__zkexecctl_is web' -l no-members -d 'Leave out the metrics of single members'
complete -c zkexecctl -n '__zkexecctl_is exporter' -l listen -x -d 'Listen here; beyond this machine only with --token, which then also guards reading'
complete -c zkexecctl -n '__zkexecctl_is exporter' -l token -x -a '(__zkexecctl_at)' -d 'The file with the token, which only you may read (mode 0600): one line of at least 32 characters'
complete -c zkexecctl -n '__zkexecctl_is exporter' -l host -x -d 'A name under which the server is reached, beside localhost and the address that it listens on; requests under another name are refused'
complete -c zkexecctl -n '__zkexecctl_is exporter' -l no-members -d 'Leave out the metrics of single members'
complete -c zkexecctl -n '__zkexecctl_is push' -s l -l lock -x -a '(__zkexecctl_names)' -d 'The group whose inputs these paths are'
complete -c zkexecctl -n '__zkexecctl_is push' -l wait -d 'Follow the rollout in the group of --lock to its end'
complete -c zkexecctl -n '__zkexecctl_is push' -l timeout -x -d 'Stop waiting after this time; without it, wait for ever'
complete -c zkexecctl -n '__zkexecctl_is push' -l hold -d 'Admit no more than this many members of the group to the new version before \'zkexecctl approve\': a number (5), a percentage (10%), or 1 if it is left out'
complete -c zkexecctl -n '__zkexecctl_is push' -l undo-on-failure -d 'With --wait: if the rollout fails, push the previous content again'
complete -c zkexecctl -n '__zkexecctl_is push' -l check -r -F -a '(__fish_complete_command)' -d 'First run this command with copies of the new contents, named like the znodes, as its last arguments (in shell syntax: $1, $2, ...), of a tree the folder; push only if it succeeds'
complete -c zkexecctl -n '__zkexecctl_is push' -l dry-run -d 'Show and check everything, and change nothing'
complete -c zkexecctl -n '__zkexecctl_is push' -s y -l yes -d 'Do not ask for confirmation; required if stdin is not a terminal'
complete -c zkexecctl -n '__zkexecctl_is push' -l acl -x -a 'open creator creator+read' -d 'Who may use the znodes that are created: everybody (open), the identities of --auth and --tls-cert (creator), others reading (creator+read), or SCHEME:ID:PERMS,... as zkCli takes it'
complete -c zkexecctl -n '__zkexecctl_is push' -s m -l message -x -d 'What this is about, for the history: one line of at most 1000 characters'
complete -c zkexecctl -n '__zkexecctl_is push' -l by -x -d 'Who does it, for the record; by default your user and host name'
complete -c zkexecctl -n '__zkexecctl_is push' -F
complete -c zkexecctl -n '__zkexecctl_is push' -a '(__zkexecctl_names)'
complete -c zkexecctl -n '__zkexecctl_is pull' -F
complete -c zkexecctl -n '__zkexecctl_is pull' -a '(__zkexecctl_names)'
complete -c zkexecctl -n '__zkexecctl_is undo' -l to -x -d 'Go back to revision N of the history; for one ZK_PATH only'
complete -c zkexecctl -n '__zkexecctl_is undo' -s l -l lock -x -a '(__zkexecctl_names)' -d 'The group whose inputs these paths are'
complete -c zkexecctl -n '__zkexecctl_is undo' -l wait -d 'Follow the rollout in the group of --lock to its end'
complete -c zkexecctl -n '__zkexecctl_is undo' -l timeout -x -d 'Stop waiting after this time; without it, wait for ever'
complete -c zkexecctl -n '__zkexecctl_is undo' -l hold -d 'Admit no more than this many members of the group to the new version before \'zkexecctl approve\': a number (5), a percentage (10%), or 1 if it is left out'
complete -c zkexecctl -n '__zkexecctl_is undo' -l undo-on-failure -d 'With --wait: if the rollout fails, push the previous content again'
complete -c zkexecctl -n '__zkexecctl_is undo' -l check -r -F -a '(__fish_complete_command)' -d 'First run this command with copies of the new contents, named like the znodes, as its last arguments (in shell syntax: $1, $2, ...), of a tree the folder; push only if it succeeds'
complete -c zkexecctl -n '__zkexecctl_is undo' -l dry-run -d 'Show and check everything, and change nothing'
complete -c zkexecctl -n '__zkexecctl_is undo' -s y -l yes -d 'Do not ask for confirmation; required if stdin is not a terminal'
complete -c zkexecctl -n '__zkexecctl_is undo' -l acl -x -a 'open creator creator+read' -d 'Who may use the znodes that are created: everybody (open), the identities of --auth and --tls-cert (creator), others reading (creator+read), or SCHEME:ID:PERMS,... as zkCli takes it'
complete -c zkexecctl -n '__zkexecctl_is undo' -s m -l message -x -d 'What this is about, for the history: one line of at most 1000 characters'
complete -c zkexecctl -n '__zkexecctl_is undo' -l by -x -d 'Who does it, for the record; by default your user and host name'
complete -c zkexecctl -n '__zkexecctl_is undo' -a '(__zkexecctl_names)'
complete -c zkexecctl -n '__zkexecctl_is history' -l json -d 'Write JSON, for programs'
complete -c zkexecctl -n '__zkexecctl_is history' -a '(__zkexecctl_names)'
complete -c zkexecctl -n '__zkexecctl_is show' -a '(__zkexecctl_names)'
complete -c zkexecctl -n '__zkexecctl_is diff' -a '(__zkexecctl_names)'
complete -c zkexecctl -n '__zkexecctl_is pause' -l reason -x -d 'Why, for the record: one line of at most 1000 characters; required'
complete -c zkexecctl -n '__zkexecctl_is pause' -l by -x -d 'Who does it, for the record; by default your user and host name'
complete -c zkexecctl -n '__zkexecctl_is pause' -a '(__zkexecctl_names)'
complete -c zkexecctl -n '__zkexecctl_is resume' -l reason -x -d 'Why, for the record: one line of at most 1000 characters'
complete -c zkexecctl -n '__zkexecctl_is resume' -l by -x -d 'Who does it, for the record; by default your user and host name'
complete -c zkexecctl -n '__zkexecctl_is resume' -a '(__zkexecctl_names)'
complete -c zkexecctl -n '__zkexecctl_is approve' -l hold -d 'Keep the hold, and raise it to this many members: a number (5), or a percentage (10%)'
complete -c zkexecctl -n '__zkexecctl_is approve' -l reason -x -d 'Why, for the record: one line of at most 1000 characters'
complete -c zkexecctl -n '__zkexecctl_is approve' -l by -x -d 'Who does it, for the record; by default your user and host name'
complete -c zkexecctl -n '__zkexecctl_is approve' -a '(__zkexecctl_names)'
complete -c zkexecctl -n '__zkexecctl_is retry' -l reason -x -d 'Why, for the record: one line of at most 1000 characters'
complete -c zkexecctl -n '__zkexecctl_is retry' -l by -x -d 'Who does it, for the record; by default your user and host name'
complete -c zkexecctl -n '__zkexecctl_is retry' -a '(__zkexecctl_names)'
complete -c zkexecctl -n '__zkexecctl_is restart' -l reason -x -d 'Why, for the record: one line of at most 1000 characters'
complete -c zkexecctl -n '__zkexecctl_is restart' -l by -x -d 'Who does it, for the record; by default your user and host name'
complete -c zkexecctl -n '__zkexecctl_is restart' -a '(__zkexecctl_names)'
complete -c zkexecctl -n '__zkexecctl_is forget' -l force -d 'Do it also if the member is alive'
complete -c zkexecctl -n '__zkexecctl_is forget' -l reason -x -d 'Why, for the record: one line of at most 1000 characters'
complete -c zkexecctl -n '__zkexecctl_is forget' -l by -x -d 'Who does it, for the record; by default your user and host name'
complete -c zkexecctl -n '__zkexecctl_is forget' -a '(__zkexecctl_names)'
complete -c zkexecctl -n '__zkexecctl_is delete' -l dry-run -d 'Show and check everything, and change nothing'
complete -c zkexecctl -n '__zkexecctl_is delete' -s y -l yes -d 'Do not ask for confirmation; required if stdin is not a terminal'
complete -c zkexecctl -n '__zkexecctl_is delete' -l group -d 'Delete the group of this name, also if the znode with this path has a content'
complete -c zkexecctl -n '__zkexecctl_is delete' -l force -d 'Delete a znode although living members have it as an input'
complete -c zkexecctl -n '__zkexecctl_is delete' -s m -l message -x -d 'What this is about, for the history: one line of at most 1000 characters'
complete -c zkexecctl -n '__zkexecctl_is delete' -l by -x -d 'Who does it, for the record; by default your user and host name'
complete -c zkexecctl -n '__zkexecctl_is delete' -a '(__zkexecctl_names)'
complete -c zkexecctl -n '__zkexecctl_is dev' -l port -x -d 'The port of the first server; the others have the next ones'
complete -c zkexecctl -n '__zkexecctl_is dev' -l ensemble -x -d 'Run N servers, from 1 to 9'
complete -c zkexecctl -n '__zkexecctl_is completion' -a '(__zkexecctl_names)'
