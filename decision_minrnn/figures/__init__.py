"""Figures for papers, drawn by matplotlib from numbers that other modules worked out."""
