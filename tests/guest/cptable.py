"""What ``cp`` does with its two paths: a table, recorded from docker 20.10.24 with its own client.

docker 28.2.2's client gave the same with that daemon, in other words. Trees are written as words: ``d/`` a directory,
``f=1`` a file that holds 1, ``g=f`` a second name of f, ``l->f`` a link, ``p|`` a pipe, ``s!`` a socket. ``@`` is the
row's own directory, on its side, and ``&`` a directory outside that the container has not. ``refused`` means that
nothing has changed; what has changed before is behind it.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

REFUSED = "refused"

#: There, source; here before, target; here after. Both directions, so that either side is the container's.
PATHS = [
    ("f=1", "f", "", "new", "new=1"),
    ("f=1", "f", "d/", "d", "d/ d/f=1"),
    ("f=1", "f", "d/", "d/", "d/ d/f=1"),
    ("f=1", "f", "d/", "d/new", "d/ d/new=1"),
    ("f=1", "f", "d/ d/f=0", "d", "d/ d/f=1"),
    ("f=1", "f", "d/ d/f->g d/g=0", "d", "d/ d/f=1 d/g=0"),
    ("f=1", "f", "d/ d/f/", "d", "refused"),
    ("f=1", "f", "g=0", "g", "g=1"),
    ("f=1", "f", "g=0", "g/", "refused"),
    ("f=1", "f", "g=0", "g/.", "refused"),
    ("f=1", "f", "g=0", "g/x", "refused"),
    ("f=1", "f", "", "none/", "refused"),
    ("f=1", "f", "", "none/.", "refused"),
    ("f=1", "f", "", "none/x", "refused"),
    ("f=1", "f", "d/", "d/..", "d/ f=1"),
    ("f=1", "f", "d/", "d/../new", "d/ new=1"),
    ("f=1", "f", "", "none/../new", "new=1"),
    ("f=1", "f", "g=0 l->g", "l", "g=1 l->g"),
    ("f=1", "f", "g=0 l->@/g", "l", "g=1 l->@/g"),
    ("f=1", "f", "l->none", "l", "l->none none=1"),
    ("f=1", "f", "l->@/none", "l", "l->@/none none=1"),
    ("f=1", "f", "d/ d/l->../none", "d/l", "d/ d/l->../none none=1"),
    ("f=1", "f", "l->none/x", "l", "refused"),
    ("f=1", "f", "l->none/", "l", "l->none/ none=1"),
    ("f=1", "f", "d/ l->d", "l", "d/ d/f=1 l->d"),
    ("f=1", "f", "d/ l->@/d", "l", "d/ d/f=1 l->@/d"),
    ("f=1", "f", "d/ l->d", "l/", "d/ d/f=1 l->d"),
    ("f=1", "f", "d/ l->d", "l/new", "d/ d/new=1 l->d"),
    ("f=1", "f", "d/ l->@/d", "l/new", "d/ d/new=1 l->@/d"),
    ("f=1", "f", "g=0 m->g l->m", "l", "g=1 l->m m->g"),
    ("f=1", "f", "m->none l->m", "l", "l->m m->none none=1"),
    ("f=1", "f", "d/ m->d l->m", "l", "d/ d/f=1 l->m m->d"),
    ("f=1", "f", "l->../../../../../../../..@/g g=0", "l", "g=1 l->../../../../../../../..@/g"),
    ("f=1", "f", "l->../../../../../../../..@/none", "l", "l->../../../../../../../..@/none none=1"),
    ("f=1", "f", "p|", "p", "p=1"),
    ("f=1", "f", "l->p p|", "l", "l->p p=1"),
    ("f=1", "f/", "", "new", "refused"),
    ("f=1", "f/.", "", "new", "refused"),
    ("", "none", "", "new", "refused"),
    ("f=1 l->f", "l", "", "new", "new->f"),
    ("f=1 l->f", "-L l", "", "new", "new=1"),
    ("f=1 l->f", "l", "d/", "d", "d/ d/l->f"),
    ("f=1 l->f", "-L l", "d/", "d", "d/ d/l=1"),
    ("d/ d/f=1 l->d", "l", "", "new", "new->d"),
    ("d/ d/f=1 l->d", "l/", "", "new", "new/ new/f=1"),
    ("d/ d/f=1 l->d", "l/", "e/", "e", "e/ e/l/ e/l/f=1"),
    ("d/ d/f=1 l->d", "l/.", "", "new", "new/ new/f=1"),
    ("d/ d/f=1 l->d", "-L l", "", "new", "new/ new/f=1"),
    ("d/ d/f=1 l->d", "-L l", "e/", "e", "e/ e/l/ e/l/f=1"),
    ("d/ d/f=1 l->d", "-L l/.", "e/", "e", "e/ e/f=1"),
    ("l->none", "l", "", "new", "new->none"),
    ("l->none", "-L l", "", "new", "refused"),
    ("l->f f=1", "l/", "", "new", "refused"),
    ("l->f f=1", "l", "g=0", "g", "g->f"),
    ("l->f f=1", "l", "d/", "d/g", "d/ d/g->f"),
    ("d/ d/f=1", "d", "", "new", "new/ new/f=1"),
    ("d/ d/f=1", "d", "", "new/", "new/ new/f=1"),
    ("d/ d/f=1", "d", "", "new/.", "refused"),
    ("d/ d/f=1", "d/", "", "new", "new/ new/f=1"),
    ("d/ d/f=1", "d/.", "", "new", "new/ new/f=1"),
    ("d/ d/f=1", "d", "e/", "e", "e/ e/d/ e/d/f=1"),
    ("d/ d/f=1", "d/", "e/", "e", "e/ e/d/ e/d/f=1"),
    ("d/ d/f=1", "d/.", "e/", "e", "e/ e/f=1"),
    ("d/ d/f=1", "d", "e/", "e/.", "e/ e/d/ e/d/f=1"),
    ("d/ d/f=1", "d/.", "e/", "e/.", "e/ e/f=1"),
    ("d/ d/f=1", "d", "e/ e/d/ e/d/g=0", "e", "e/ e/d/ e/d/f=1 e/d/g=0"),
    ("d/ d/f=1", "d", "e/ e/d/ e/d/f=0", "e", "e/ e/d/ e/d/f=1"),
    ("d/ d/f=1", "d", "e/ e/d=0", "e", "refused"),
    ("d/ d/f=1", "d/.", "e/ e/f/", "e", "refused"),
    ("d/ d/f=1", "d/.", "e/ e/f/ e/f/x=0", "e", "refused"),
    ("d/ d/f=1", "d", "e/ x/ e/d->../x", "e", "refused"),
    ("d/ d/f=1", "d", "e/ e/d->../x", "e", "refused"),
    ("d/ d/f=1", "d", "e/ e/d->&", "e", "refused"),
    ("d/ d/g/ d/g/f=1", "d/.", "e/ e/g->&", "e", "refused"),
    ("d/ d/f=1", "d", "g=0", "g", "refused"),
    ("d/ d/f=1", "d/.", "g=0", "g", "refused"),
    ("d/ d/f=1", "d/", "g=0", "g", "refused"),
    ("d/ d/f=1", "d", "", "none/x", "refused"),
    ("d/ d/f=1", "d", "", "none/x/", "refused"),
    ("d/ d/f=1", "d", "e/ l->e", "l", "e/ e/d/ e/d/f=1 l->e"),
    ("d/ d/f=1", "d/.", "e/ l->@/e", "l", "e/ e/f=1 l->@/e"),
    ("d/ d/f=1", "d", "l->none", "l", "l->none none/ none/f=1"),
    ("d/ d/f=1", "d/.", "l->none", "l", "l->none none/ none/f=1"),
    ("d/ d/f=1", "d", "l->g g=0", "l", "refused"),
    ("d/ d/f=1 d/g=d/f", "d", "", "new", "new/ new/f=1 new/g=new/f"),
    (
        "d/ d/f=1 d/l->f d/m->& d/p| d/e/ d/e/x=2",
        "d",
        "",
        "new",
        "new/ new/e/ new/e/x=2 new/f=1 new/l->f new/m->& new/p|",
    ),
    ("d/ d/s! d/f=1", "d", "", "new", "new/ new/f=1"),
    ("s!", "s", "", "new", ""),
    ("p|", "p", "", "new", "new|"),
    ("d/ d/a\nb=1 d/\udcff=2 d/'\"=3", "d", "", "new", "new/ new/'\"=3 new/a\nb=1 new/\udcff=2"),
    ("a\nb=1", "a\nb", "", "\udcfe", "\udcfe=1"),
    ("d/ d/f=1", "d/..", "e/", "e", "e/ e/row/ e/row/d/ e/row/d/f=1"),
    ("d/ d/f=1", "d/e/..", "e/", "e", "e/ e/d/ e/d/f=1"),
    ("f=1", "f", "", "é", "é=1"),
]
#: The same, only into a container: where a link leads out of it, and what only a shell's own directory has.
INTO = [
    ("f=1", "f", "l->&", "l", "refused"),
    ("f=1", "f", "l->&/f", "l", "refused"),
    ("f=1", "f", "l->../../../../../../../..&/f", "l", "refused"),
    ("f=1", "f", "l->&", "l/new", "refused"),
    ("d/ d/f=1", "d", "l->&", "l", "refused"),
    ("d/ d/f=1", ".", "", "new", "new/ new/d/ new/d/f=1"),
    ("d/ d/f=1", ".", "e/", "e", "e/ e/d/ e/d/f=1"),
    ("d/ d/f=1", "./d/../d/.", "", "new", "new/ new/f=1"),
    ("a:b=1", "./a:b", "", "new", "new=1"),
    ("f=1 -x=2", "./-x", "", "new", "new=2"),
]
#: Where docker does something else, and why labkit does not.
OTHERWISE = [
    # docker replaces the link when it copies in, and refuses when it copies out.
    ("f=1", "f", "l->l", "l", "refused"),
    # docker reads what a link says as text, too. To the container, as to any kernel, there is nothing.
    ("f=1", "f", "l->none/.", "l", "refused"),
    ("f=1", "f", "l->none/../x", "l", "refused"),
    # docker refuses links that lead above what is copied. Nothing follows them here, and trees are full of them.
    ("d/ d/m->../../../x", "d", "", "new", "new/ new/m->../../../x"),
]
#: The members of a tar stream; inside before, target; inside after.
STREAMS_IN = [
    ("f=1", "d/", "d", "d/ d/f=1"),
    ("f=1", "d/", "d/", "d/ d/f=1"),
    ("f=1", "d/ l->d", "l", "d/ d/f=1 l->d"),
    ("f=1", "d/ l->@/d", "l", "d/ d/f=1 l->@/d"),
    ("f=1", "g=0", "g", "refused"),
    ("f=1", "g=0 l->g", "l", "refused"),
    ("f=1", "", "none", "refused"),
    ("f=1", "l->none", "l", "refused"),
    ("f=1", "l->&", "l", "refused"),
    ("", "d/", "d", "d/"),
    ("../f=1", "d/", "d", "refused"),
    ("x/ x/../../f=1", "d/", "d", "refused, d/ d/x/"),
    ("/f=1", "d/", "d", "d/ d/f=1"),
    ("x/../f=1", "d/", "d", "d/ d/f=1"),
    ("./f=1", "d/", "d", "d/ d/f=1"),
    ("x/y/f=1", "d/", "d", "d/ d/x/ d/x/y/ d/x/y/f=1"),
    ("l->/ l/@f=1", "d/", "d", "d/ d/l->/ f=1"),
    ("l->& l/f=1", "d/", "d", "refused, d/ d/l->&"),
    ("e/ l->e l/f=1", "d/", "d", "d/ d/e/ d/e/f=1 d/l->e"),
    ("l/f=1", "d/ d/e/ d/l->e", "d", "d/ d/e/ d/e/f=1 d/l->e"),
    ("l/f=1", "d/ e/ d/l->../e", "d", "d/ d/l->../e e/ e/f=1"),
    ("l/f=1", "d/ d/l->&", "d", "refused"),
    ("l/ l/f=1", "d/ d/l->&", "d", "refused"),
    ("h=../g", "d/ g=0", "d", "refused"),
    ("h=@/g", "d/ g=0", "d", "refused"),
    ("f=1 h=f", "d/", "d", "d/ d/f=1 d/h=d/f"),
    ("f=1 x/ x/h=f", "d/", "d", "d/ d/f=1 d/x/ d/x/h=d/f"),
    ("h=none", "d/", "d", "refused"),
    ("h=&/x", "d/", "d", "refused"),
    ("h=l", "d/ d/l->&/x", "d", "d/ d/h->&/x d/l->&/x"),
    ("l->&/f l=1", "d/", "d", "d/ d/l=1"),
    ("f=1", "d/ d/f/", "d", "refused"),
    ("f=1", "d/ d/f/ d/f/x=0", "d", "refused"),
    ("f/ f/x=1", "d/ d/f=0", "d", "refused"),
    ("l=1", "d/ d/l->&", "d", "d/ d/l=1"),
    ("p|", "d/", "d", "d/ d/p|"),
    ("f=1 f=2", "d/", "d", "d/ d/f=2"),
    ("a\nb=1 \udcff=2", "d/", "d", "d/ d/a\nb=1 d/\udcff=2"),
    (".=1", "d/", "d", "refused"),
    ("..=1", "d/", "d", "refused"),
    ("d/ ./", "d/", "d", "d/ d/d/"),
    # docker refuses the link, as above; whoever follows it stays in the container.
    ("l->.. l/f=1", "d/", "d", "d/ d/l->.. f=1"),
]
#: Inside, source; the members of the tar stream.
STREAMS_OUT = [
    ("f=1", "f", "f=1"),
    ("d/ d/f=1", "d", "d/ d/f=1"),
    ("d/ d/f=1", "d/", "d/ d/f=1"),
    ("d/ d/f=1", "d/.", "./ ./f=1"),
    ("f=1 l->f", "l", "l->f"),
    ("f=1 l->f", "-L l", "f=1"),
    ("d/ d/f=1 l->d", "l", "l->d"),
    ("d/ d/f=1 l->d", "l/", "l/ l/f=1"),
    ("d/ d/f=1 l->d", "l/.", "./ ./f=1"),
    ("d/ d/f=1 l->d", "-L l", "d/ d/f=1"),
    ("d/ l->d", "-L l/.", "./"),
    ("l->none", "l", "l->none"),
    ("l->none", "-L l", "refused"),
    ("l->&", "-L l", "refused"),
    ("l->&", "l", "l->&"),
    ("l->&", "l/", "refused"),
    ("", "none", "refused"),
    ("f=1", "f/", "refused"),
    ("d/ d/f=1 d/g=d/f", "d", "d/ d/f=1 d/g=d/f"),
    ("d/ d/p|", "d", "d/ d/p|"),
    ("d/ d/s!", "d", "d/"),
    ("p|", "p", "p|"),
    ("s!", "s", ""),
    ("d/ d/a\nb=1 d/\udcff=2", "d", "d/ d/a\nb=1 d/\udcff=2"),
    ("d/ m->d l->m d/f=1", "-L l", "d/ d/f=1"),
    ("d/ d/e/ d/e/f=1 l->d", "l/e", "e/ e/f=1"),
    ("d/ d/e/ d/e/f=1 l->d", "l/e/f", "f=1"),
]


def make(top: str, tree: str, row: str, away: str) -> None:
    """The tree in a new directory, which its own links call ``row``."""
    os.mkdir(top)
    for word in tree.split(" ") if tree else ():
        name, arrow, link = word.partition("->")
        path = f"{top}/{name}"
        if arrow:
            os.symlink(link.replace("@", row).replace("&", away), path)
        elif word.endswith("/"):
            os.mkdir(path)
        elif word.endswith("|"):
            os.mkfifo(path[:-1])
        elif word.endswith("!"):
            os.mknod(path[:-1], stat.S_IFSOCK)
        else:
            name, _, text = word.partition("=")
            if text.isdigit():
                Path(top, name).write_text(text)
            else:
                os.link(f"{top}/{text}", f"{top}/{name}")


def shown(top: str, row: str, away: str) -> str:
    """What is there now, in the same words."""
    first: dict[int, str] = {}

    def below(directory: str, prefix: str) -> list[str]:
        words = []
        for name in sorted(os.listdir(directory)):
            path, called = f"{directory}/{name}", prefix + name
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode):
                words += [f"{called}/", *below(path, f"{called}/")]
            elif stat.S_ISLNK(status.st_mode):
                words.append(f"{called}->{_back(os.readlink(path), row, away)}")
            elif not stat.S_ISREG(status.st_mode):
                words.append(called + ("|" if stat.S_ISFIFO(status.st_mode) else "!"))
            else:
                earlier = first.setdefault(status.st_ino, called)
                words.append(f"{called}={Path(path).read_text() if earlier == called else earlier}")
        return words

    return " ".join(below(top, "")).replace(f"{os.path.basename(row)}/", "row/")


def _back(link: str, row: str, away: str) -> str:
    return link.replace(away, "&").replace(row, "@")


def packed(members: str, row: str, away: str) -> bytes:
    """A tar stream of these members, in the same words."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for word in members.split(" ") if members else ():
            name, arrow, link = word.partition("->")
            data = b""
            entry = tarfile.TarInfo()
            if arrow:
                entry.type, entry.linkname = tarfile.SYMTYPE, link
            elif word.endswith("/"):
                entry.type, entry.mode, name = tarfile.DIRTYPE, 0o755, word.rstrip("/")
            elif word.endswith("|"):
                entry.type, name = tarfile.FIFOTYPE, word[:-1]
            else:
                name, _, text = word.partition("=")
                if text.isdigit():
                    data = text.encode()
                else:
                    entry.type, entry.linkname = tarfile.LNKTYPE, text
            entry.linkname = entry.linkname.replace("@", row).replace("&", away)
            entry.name, entry.size = name.replace("@", f"{row}/".lstrip("/")), len(data)
            tar.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def members(stream: bytes, row: str, away: str) -> str:
    """The members of a tar stream, in the same words."""
    words = []
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        for entry in tar:
            if entry.isreg():
                data = tar.extractfile(entry)
                words.append(f"{entry.name}={data.read().decode() if data else ''}")
            else:
                link = f"->{_back(entry.linkname, row, away)}" if entry.issym() else f"={entry.linkname}"
                words.append(entry.name + {tarfile.DIRTYPE: "/", tarfile.FIFOTYPE: "|"}.get(entry.type, link))
    return " ".join(words)
