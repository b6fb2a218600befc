"""Training of region finders: conversion of the perception networks, pixel graphs, hand masks, scores."""
