#!/bin/sh
# bare.sh LOGIN PASSWORD CLOCK — run as root on a stand-in board: make it what comes out of the box
#
# LOGIN gets a password, which sudo asks for; no key is let in for it (root's stays, for the sandbox); curl goes.
# CLOCK (seconds since 1970) is what `date` says from now on. That is an imitation: a container has its machine's
# clock, so only `date` is wrong, and what it sets is kept in a file.
set -eu
login=$1 password=$2 clock=$3

printf '%s:%s\n' "$login" "$password" | chpasswd
rm -f "/etc/sudoers.d/$login"
printf '%s ALL=(ALL) ALL\n' "$login" >"/etc/sudoers.d/00-$login"
chmod 0440 "/etc/sudoers.d/00-$login"
printf '%s\n' 'PasswordAuthentication yes' 'AuthorizedKeysFile .ssh/authorized_keys' 'Match User root' \
    '    AuthorizedKeysFile /etc/ssh/board_keys' >/etc/ssh/sshd_config.d/bare.conf
# the first value counts, and what sets all others is read after this
mv /etc/ssh/sshd_config.d/bare.conf /etc/ssh/sshd_config.d/00-bare.conf
sed -i '/^AuthorizedKeysFile/d; /^PasswordAuthentication/d' /etc/ssh/sshd_config.d/board.conf
systemctl reload ssh
dpkg --purge curl >/dev/null

echo $((clock - $(/bin/date +%s))) >/etc/date-is-wrong-by
chmod 0666 /etc/date-is-wrong-by
cat >/usr/local/bin/date <<'DATE'
#!/bin/sh
# date — an imitation of one whose clock is wrong by the seconds in /etc/date-is-wrong-by; `date -s @N` changes those
wrong=$(cat /etc/date-is-wrong-by)
now=$(/bin/date +%s)
for word; do
    case $word in
    @*) [ "$(id -u)" = 0 ] && echo $((${word#@} - now)) >/etc/date-is-wrong-by && exit ;;
    esac
done
exec /bin/date -d "@$((now + wrong))" "$@"
DATE
chmod 0755 /usr/local/bin/date
