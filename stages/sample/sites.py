"""The web sites of the sample crawl: text set into HTML as real sites do it, with menus, sidebars and footers.

Reads:  titles, body HTML, links
Writes: whole HTML pages
Cost:   string formatting
Source: ours; hosts are under .example (RFC 2606), so that no address is anybody's
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, kw_only=True)
class Page:
    """One response of the crawl. `kind` says what it is there for (docs, spam, ...); it is not written to the WARC."""

    kind: str
    url: str
    body: bytes
    content_type: str = "text/html; charset=UTF-8"
    status: str = "200 OK"
    headers: tuple[tuple[str, str], ...] = ()  # HTTP headers beside the usual ones


@dataclass(frozen=True, kw_only=True)
class Site:
    """A host, what it calls itself, its look and language."""

    host: str
    name: str
    layout: Callable[[Site, str, str, Sequence[tuple[str, str]]], str]
    lang: str = "en"

    def page(self, kind: str, path: str, title: str, body: str, links: Sequence[tuple[str, str]] = ()) -> Page:
        """`links`: (address, text) of the pages that menus and sidebars point to."""
        html = self.layout(self, title, body, links)
        return Page(kind=kind, url=f"https://{self.host}/{path}", body=html.encode())


WORDS = {
    "en": ("Home", "Index", "About", "Contact", "Search", "Related pages", "All rights reserved", "Privacy policy"),
    "zh": ("首页", "目录", "关于我们", "联系我们", "搜索", "相关文章", "版权所有", "隐私政策"),
    "de": ("Startseite", "Inhalt", "Über uns", "Kontakt", "Suche", "Verwandte Seiten", "Alle Rechte vorbehalten",
           "Datenschutz"),
    "fr": ("Accueil", "Sommaire", "À propos", "Contact", "Recherche", "Pages liées", "Tous droits réservés",
           "Confidentialité"),
    "ru": ("Главная", "Содержание", "О нас", "Контакты", "Поиск", "Похожие страницы", "Все права защищены",
           "Конфиденциальность"),
}  # fmt: skip


def paragraphs(texts: Sequence[str]) -> str:
    return "\n".join(f"<p>{escape(text, quote=False)}</p>" for text in texts)


def _items(links: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f'<li><a href="{escape(url)}">{escape(text)}</a></li>' for url, text in links)


def _head(site: Site, title: str, style: str) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="{site.lang}">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)} - {escape(site.name)}</title>\n"
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{style}</style>\n'
        "<script>window.dataLayer=window.dataLayer||[];function tag(){dataLayer.push(arguments)}"
        f'tag("site","{site.host}");</script>\n</head>\n'
    )


def manual(site: Site, title: str, body: str, links: Sequence[tuple[str, str]]) -> str:
    """A documentation site: bread crumbs, a sidebar with the neighbours, previous and next."""
    home, index, about, contact, search, related, rights, privacy = WORDS[site.lang]
    return (
        _head(site, title, "body{margin:0;font:16px sans-serif}.side{float:left;width:18em}main{margin-left:20em}")
        + f'<body>\n<header class="top"><nav><ul><li><a href="/">{home}</a></li>'
        f'<li><a href="/genindex.html">{index}</a></li>'
        f'<li><form action="/search"><input name="q" placeholder="{search}"></form></li></ul></nav></header>\n'
        f'<div class="side sidebar" role="navigation"><h4>{related}</h4><ul>{_items(links)}</ul></div>\n'
        f'<div class="breadcrumbs"><a href="/">{escape(site.name)}</a> &raquo; '
        f'<a href="/genindex.html">{index}</a></div>\n'
        f'<main role="main"><article>\n<h1>{escape(title)}</h1>\n{body}\n</article></main>\n'
        f'<footer><p>&copy; {escape(site.name)}. {rights}.</p><ul><li><a href="/about">{about}</a></li>'
        f'<li><a href="/contact">{contact}</a></li><li><a href="/privacy">{privacy}</a></li></ul></footer>\n'
        "</body>\n</html>\n"
    )


def journal(site: Site, title: str, body: str, links: Sequence[tuple[str, str]]) -> str:
    """A blog or magazine: a masthead, the article, related posts, a cookie banner."""
    home, _, about, contact, search, related, rights, privacy = WORDS[site.lang]
    menu = "".join(f'<a href="/{i}">{text}</a> ' for i, text in enumerate((home, about, contact, search)))
    return (
        _head(site, title, ".menu a{padding:1em}.post{max-width:42em;margin:auto}")
        + f'<body class="single">\n<div id="cookie-banner" class="cookie">Cookies: <button>OK</button></div>\n'
        f'<header id="masthead"><a class="logo" href="/">{escape(site.name)}</a>'
        f'<nav class="menu">{menu}</nav></header>\n'
        f'<div id="content"><article class="post"><header><h1 class="entry-title">{escape(title)}</h1></header>\n'
        f'<div class="entry-content">\n{body}\n</div></article>\n'
        f'<aside class="related"><h3>{related}</h3><ul>{_items(links)}</ul></aside></div>\n'
        f'<footer id="colophon">{escape(site.name)} | {rights} | <a href="/p">{privacy}</a></footer>\n'
        '<script src="/static/app.js" async></script>\n</body>\n</html>\n'
    )


def tables(site: Site, title: str, body: str, links: Sequence[tuple[str, str]]) -> str:
    """A site as they were made around 2000: one table for the frame, the menu in its left cell, tags in capitals."""
    menu = "<BR>\n".join(f'<A HREF="{escape(url)}">{escape(text)}</A>' for url, text in links)
    _, _, _, contact, _, _, rights, _ = WORDS[site.lang]
    return (
        '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN">\n<HTML><HEAD>\n'
        '<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=utf-8">\n'
        f"<TITLE>{escape(title)}</TITLE></HEAD>\n<BODY BGCOLOR=#FFFFFF>\n<TABLE WIDTH=100% BORDER=0><TR>"
        f"<TD COLSPAN=2 BGCOLOR=#DDDDEE><FONT SIZE=5>{escape(site.name)}</FONT></TD></TR>\n"
        "<TR><TD VALIGN=TOP WIDTH=150 CLASS=menu>"
        f"{menu}</TD>\n<TD VALIGN=TOP><H2>{escape(title)}</H2>\n{body}\n</TD></TR>\n"
        f'<TR><TD COLSPAN=2 ALIGN=CENTER><FONT SIZE=1>{rights} - <A HREF="/mail.html">{contact}</A></FONT>'
        "</TD></TR></TABLE>\n"
        "</BODY></HTML>\n"
    )


def forum(site: Site, title: str, body: str, links: Sequence[tuple[str, str]]) -> str:
    """A message board; `body` holds the posts."""
    home, _, _, _, search, related, rights, _ = WORDS[site.lang]
    return (
        _head(site, title, ".post{border-top:1px solid}.user{float:left;width:9em}")
        + f'<body>\n<div class="navbar"><a href="/">{home}</a> <a href="/search">{search}</a></div>\n'
        f'<div id="thread"><h1>{escape(title)}</h1>\n{body}\n</div>\n'
        f'<div class="threads"><h4>{related}</h4><ul>{_items(links)}</ul></div>\n'
        f'<div class="footer">{rights}</div>\n</body>\n</html>\n'
    )
