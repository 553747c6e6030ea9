# Let the gateway's key log in for one forward and nothing else: one line of authorized_keys.
#
# As root, by hand:  sh authorize.sh, with these assignments in front of it:
#   user   the account
#   line   the line, which ends with the mark
#   mark   what tells the line of this stack from others
set -eu
: "${user:?}" "${line:?}" "${mark:?}"
umask 077
home=$(getent passwd "$user" | cut -d : -f 6)
[ -d "$home" ] || {
    echo "$user has no home folder, which is where authorized_keys is" >&2
    exit 1
}
folder=$home/.ssh
file=$folder/authorized_keys
[ -d "$folder" ] || install -d -m 700 -o "$user" -g "$(id -g "$user")" -- "$folder"
new=$file.pollex
{
    [ ! -e "$file" ] || grep -v -F -e " $mark" -- "$file" || :
    printf '%s\n' "$line"
} >"$new"
chown "$user:" -- "$new"
chmod 600 -- "$new"
sync
mv -f -- "$new" "$file"
