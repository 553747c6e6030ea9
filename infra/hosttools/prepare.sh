# shellcheck shell=sh
# shellcheck disable=SC2154 # set by lib.sh
# prepare.sh — installs these tools from the folder they were copied to, and the packages that they need.

prepare() {
    need_root_folder
    hash=$(tools_hash "$here")
    install_tools
    install_packages "$@"
    {
        printf 'string\ttools\t%s\narray\tinstalled\n' "$hash"
        printf '%s' "$missing" | sed "s/^/item${tab}installed${tab}/"
    } | json
}

# tools_hash FOLDER — 16 hex digits over names and contents of its files.
tools_hash() (
    cd "$1" || exit
    find . -type f -printf '%P\0' | sort -z | xargs -0 sha256sum -- | sha256sum | cut -c -16
)

# install_tools — a folder by content, a link that is flipped, and the template of the build units.
install_tools() {
    lib=$root/lib/$hash
    if [ "$(tools_hash "$lib" 2>/dev/null)" != "$hash" ]; then
        new=$root/lib/.new.$$
        rm -rf -- "$new"
        mkdir -p "$new"
        cp -R -- "$here/." "$new/"
        chmod -R u=rwX,go=rX "$new"
        chmod 755 "$new/pollex-host"
        rm -rf -- "$lib"
        sync -f "$new"
        mv -T -- "$new" "$lib"
    fi
    link_to "lib/$hash" "$root/bin"
    mkdir -p "$bin_dir" "$unit_dir"
    link_to "$root/bin/pollex-host" "$bin_dir/pollex-host"
    template=pollex-build@.service
    if ! cmp -s "$lib/$template" "$unit_dir/$template"; then
        write_file "$unit_dir/$template" <"$lib/$template"
        [ ! -d /run/systemd/system ] || systemctl daemon-reload
    fi
}
