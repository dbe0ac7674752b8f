"""What the elements around a block say: learned weights of class and id words and of tags, summed along the path.

Reads:  `elements` and `tokens` of a scan; a table of weights
Writes: `path` int32[E, NUM_PATH]: per element its own weight, the sum, least and greatest weight on its path, bits
Cost:   about 5 ns an element and 1 ns a token
Source: docs/design.md, "Main text"; the table is learned by stages/html/training
"""

from __future__ import annotations

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.html_attributes import token_hash
from stages.kernels.html_tags import NUMBER, TAGS
from stages.kernels.html_text import E_FIRST_TOKEN, E_FLAGS, E_PARENT, E_TAG
from stages.kernels.inlined import inlined

OWN, SUM, LEAST, MOST, BITS, SIGNATURE, NEAR, PAIRED, TOTAL, NUM_PATH = range(10)
NEAR_LEVELS = 3  # a block's element and the two around it: their words count anew together with the tag they stand at
AROUND = (
    "nav", "header", "footer", "aside", "article", "main", "section", "form", "table", "ul", "ol", "blockquote",
    "figure", "li", "td", "p", "dl", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "a", "button", "label", "time", "cite",
)  # fmt: skip
BIT_OF = {name: 1 << k for k, name in enumerate(AROUND)}
HIDDEN_BIT, COMMENT_BIT = 1 << len(AROUND), 1 << len(AROUND) + 1
# Words of classes and ids around what readers write below a text, in languages whose sites name things in them.
_COMMENT_WORDS = (
    "comment", "comments", "commentlist", "commentlisting", "commenttext", "commentbody", "commentcontent",
    "comment-body", "disqus", "respond", "response", "responses", "reply", "replies", "discussion", "kommentar",
    "kommentare", "commentaire", "commentaires", "comentario", "comentarios", "commenti", "reacties", "pinglun",
)  # fmt: skip
_COMMENT_TOKENS = np.array([token_hash(word) for word in _COMMENT_WORDS], np.uint32)
_COMMENT_SLOTS = np.zeros(256, np.uint32)
for _token in _COMMENT_TOKENS:
    _slot = int(_token) % 256
    while _COMMENT_SLOTS[_slot]:
        _slot = (_slot + 1) % 256
    _COMMENT_SLOTS[_slot] = _token
_BIT_OF_TAG = np.array([BIT_OF.get(name, 0) for name in TAGS], np.int64)
_HTML, _BODY = NUMBER["html"], NUMBER["body"]
TAG_PRIME = np.uint32(0x85EBCA6B)


@inlined
def tag_token(tag: int) -> np.uint32:
    """The token that stands for a tag itself."""
    return np.uint32(tag + 1) * TAG_PRIME


@inlined
def at_tag(token: np.uint32, tag: np.uint32) -> np.uint32:
    """The token that stands for a word at a tag; `tag` as `tag_token` gives it."""
    return np.uint32(token * np.uint32(0x9E3779B1)) ^ tag


@inlined
def tag_pair(tag: np.uint32, around: np.uint32, level: int) -> np.uint32:
    """The token that stands for a tag within a tag, `level` levels above a block's element."""
    return np.uint32(tag * np.uint32(31) + around + np.uint32(77 + level))


@kernel
def path_tokens(
    elements: np.ndarray, tokens: np.ndarray, element_offsets: np.ndarray, token_offsets: np.ndarray,
    text_element_B: np.ndarray, page_B: np.ndarray, most: int, path_token_K: np.ndarray, starts: np.ndarray,
) -> int:  # fmt: skip
    """The tokens whose weights make up `path[e, TOTAL]` of each block's element, at most `most` a block, for learning:
    those of block b are path_token_K[starts[b]:starts[b + 1]]; how many in all."""
    count = 0
    for b in range(len(text_element_B)):
        starts[b] = count
        e, level, limit = np.int64(text_element_B[b]), 0, count + most
        last = element_offsets[page_B[b] + 1]
        while e != elements[e, E_PARENT] and count < limit:
            parent = np.int64(elements[e, E_PARENT])
            tag, around = tag_token(elements[e, E_TAG]), tag_token(elements[parent, E_TAG])
            path_token_K[count] = tag
            count += 1
            if level < 2 and count < limit:
                path_token_K[count] = tag_pair(tag, around, level)
                count += 1
            end = elements[e + 1, E_FIRST_TOKEN] if e + 1 < last else token_offsets[page_B[b] + 1]
            for t in range(elements[e, E_FIRST_TOKEN], end):
                if count < limit:
                    path_token_K[count] = tokens[t]
                    count += 1
                if count < limit and level < NEAR_LEVELS:
                    path_token_K[count] = at_tag(tokens[t], tag)
                    count += 1
            e, level = parent, level + 1
    starts[len(text_element_B)] = count
    return count


@inlined
def _is_comment(token: np.uint32) -> bool:
    slot = np.int64(token) & 255
    while _COMMENT_SLOTS[slot]:
        if _COMMENT_SLOTS[slot] == token:
            return True
        slot = (slot + 1) & 255
    return False


@inlined
def weigh_elements(
    elements: np.ndarray, tokens: np.ndarray, first: int, last: int, token_end: int, weights: np.ndarray,
    path: np.ndarray,
) -> None:  # fmt: skip
    """Fill `path` for elements[first:last], a page's, whose tokens end at `token_end`; `weights` int8, a power of 2."""
    mask = np.uint32(len(weights) - 1)
    path[first] = 0
    for e in range(first + 1, last):
        parent, tag = elements[e, E_PARENT], elements[e, E_TAG]
        token = tag_token(tag)
        own, near = np.int64(weights[token & mask]), np.int64(0)
        signature, comment = token, np.int64(0)
        end = elements[e + 1, E_FIRST_TOKEN] if e + 1 < last else token_end
        for t in range(elements[e, E_FIRST_TOKEN], end):
            own += weights[tokens[t] & mask]
            near += weights[at_tag(tokens[t], token) & mask]
            signature = signature * np.uint32(31) + tokens[t]
            comment |= _is_comment(tokens[t])
        path[e, OWN] = own
        path[e, SUM] = path[parent, SUM] + own
        path[e, LEAST], path[e, MOST] = min(path[parent, LEAST], own), max(path[parent, MOST], own)
        grand = elements[parent, E_PARENT]
        around = tag_token(elements[parent, E_TAG])
        path[e, NEAR] = near
        path[e, PAIRED] = weights[tag_pair(token, around, 1) & mask]
        path[e, TOTAL] = path[e, SUM] + near + weights[tag_pair(token, around, 0) & mask]
        if parent != first:
            path[e, TOTAL] += path[parent, NEAR] + path[parent, PAIRED] + path[grand, NEAR]
        bits = np.int64(path[parent, BITS]) | _BIT_OF_TAG[tag] | HIDDEN_BIT * (elements[e, E_FLAGS] & 1)
        bits |= COMMENT_BIT * (comment and tag != _BODY and tag != _HTML)
        path[e, BITS] = bits
        path[e, SIGNATURE] = np.int32(np.uint32(path[parent, SIGNATURE]) * np.uint32(0x9E3779B1) + signature)
