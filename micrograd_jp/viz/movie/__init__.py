"""学習の途中の図をつないだ動画 (movie): スクラバーの付いたページか、GIF。"""

from micrograd_jp.viz.movie.movie import Movie as Movie
from micrograd_jp.viz.movie.movie import movie as movie
from micrograd_jp.viz.movie.movie import picture as picture
