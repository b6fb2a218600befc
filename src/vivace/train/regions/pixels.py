"""The pixel work of regions as torch modules, exported like networks: fields moved, and masks that follow edges.

The base install has neither torch nor OpenCV; as graphs they run on OpenVINO. Everything is planar, `[c h w]`, and is
enlarged by products with matrices: of what OpenVINO does to few channels those are the fastest.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vivace.regions.networks import FORMAT
from vivace.regions.pixels import CELL_PX
from vivace.train.export import convert, write_graph

_WINDOW = 5
"""Cells a side within which a mask is a linear function of colour,"""
_EPSILON = 4e-4
"""regularised by this variance of colours in 0..1."""
_STEEPER = 1.6
"""The filter leaves an edge this much flatter than it is."""


class Carry(nn.Module):
    """Fields of the last picture, brought to where they are in this one."""

    def forward(self, flow: Tensor, fields: Tensor) -> Tensor:
        """Return the fields now, `[1 k h w]`.

        Args:
            flow: where each cell of this picture was in the last one, `[1 2 h/4 w/4]`, (right, down) cells.
            fields: of the last picture, `[1 k h w]`.
        """
        _, _, h, w = fields.shape
        whole = F.interpolate(flow, size=[h, w], mode="bilinear", align_corners=False) * CELL_PX
        across = torch.arange(w, dtype=fields.dtype)[None, None, :] + whole[:, 0]
        down = torch.arange(h, dtype=fields.dtype)[None, :, None] + whole[:, 1]
        places = torch.stack(((across + 0.5) * (2 / w) - 1, (down + 0.5) * (2 / h) - 1), dim=-1)
        return F.grid_sample(fields, places, mode="bilinear", padding_mode="border", align_corners=False)


class Edges(nn.Module):
    """Masks on the grid, brought to the picture's size along its edges.

    The guided filter of He, Sun and Tang (2013) with colours as the guide, its statistics on the cells of the grid.
    """

    def forward(self, picture: Tensor, cells: Tensor, masks: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Return masks `uint8 [k H W]`.

        Args:
            picture: `uint8 [1 H W 3]`.
            cells: mean colours of the grid's cells, `uint8 [1 h/4 w/4 3]`.
            masks: on the grid, `[1 k h w]`, 0 to 1.
            rows: enlarges columns of cells, `[H h/4]`.
            columns: enlarges rows of cells, `[w/4 W]`.
        """
        guide = cells.permute(0, 3, 1, 2).float() * (1 / 255)
        p = F.avg_pool2d(masks, CELL_PX)
        k = masks.shape[1]
        r, g, b = guide.split(1, dim=1)
        products = torch.cat((guide, r * guide, g * g, g * b, b * b, p, r * p, g * p, b * p), dim=1)
        means = _box(products)[0]
        mr, mg, mb, rr, rg, rb, gg, gb, bb = means[:9].unbind(0)
        mp, pr, pg, pb = (means[at : at + k] for at in (9, 9 + k, 9 + 2 * k, 9 + 3 * k))
        rr, gg, bb = rr - mr * mr + _EPSILON, gg - mg * mg + _EPSILON, bb - mb * mb + _EPSILON
        rg, rb, gb = rg - mr * mg, rb - mr * mb, gb - mg * mb
        cr, cg, cb = pr - mr * mp, pg - mg * mp, pb - mb * mp
        # the inverse of the symmetric matrix by its adjugate
        i_rr, i_rg, i_rb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
        i_gg, i_gb, i_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
        scale = 1 / (rr * i_rr + rg * i_rg + rb * i_rb)
        ar = (i_rr * cr + i_rg * cg + i_rb * cb) * scale
        ag = (i_rg * cr + i_gg * cg + i_gb * cb) * scale
        ab = (i_rb * cr + i_gb * cg + i_bb * cb) * scale
        linear = _box(torch.cat((ar, ag, ab, mp - ar * mr - ag * mg - ab * mb))[None])[0]
        large = torch.matmul(torch.matmul(rows, linear), columns)
        red, green, blue = (picture.permute(0, 3, 1, 2).float()[0] * (1 / 255)).unbind(0)
        fine = large[:k] * red + large[k : 2 * k] * green + large[2 * k : 3 * k] * blue + large[3 * k :]
        # what is nearly nothing or nearly all is so
        return (((fine - 0.5) * _STEEPER + 0.5).clamp(0, 1) * 255 + 0.5).to(torch.uint8)


def _box(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, _WINDOW, 1, _WINDOW // 2, count_include_pad=False)


def export_pixels(folder: Path) -> dict[str, str]:
    """Write both graphs into a folder and return their sha256 by file name."""
    hashes: dict[str, str] = {}
    carried = {"flow": torch.zeros(1, 2, 36, 64), "fields": torch.rand(1, 2, 144, 256)}
    fine = {
        "picture": torch.randint(0, 256, (1, 180, 320, 3), dtype=torch.uint8),
        "cells": torch.randint(0, 256, (1, 36, 64, 3), dtype=torch.uint8),
        "masks": torch.rand(1, 2, 144, 256),
        "rows": torch.rand(180, 36),
        "columns": torch.rand(64, 320),
    }
    rgb, planes, matrix = [1, -1, -1, 3], [1, -1, -1, -1], [-1, -1]
    for name, module, example, shapes, output in (
        ("carry", Carry(), carried, [[1, 2, -1, -1], planes], "carried"),
        ("edges", Edges(), fine, [rgb, rgb, planes, matrix, matrix], "fine"),
    ):
        model = convert(module, example, shapes, (output,))
        hashes |= write_graph(model, {}, folder, name, {"format": FORMAT}, halves=False)
    return hashes
