"""Maps traditional Chinese characters to simplified ones, one to one, so that positions stay the same.

Only characters that occur in the rules' patterns and in everyday bookings. A full converter such as OpenCC
replaces phrases by phrases of another length, and needs megabytes of tables where some 170 characters
suffice.
"""

from __future__ import annotations

_TRADITIONAL = (
    "兩點週禮號後這個時萬億貳陸參鐘鍾現對沒問題謝幫換訂預約轉繫電話請間聖誕節過嗎麼麽為單雙從開"
    "關當說聽誰讓給還會應該錯誤"
    "確認調議計劃買賣錢塊歐鎊幣韓臺灣兒內飯館廳樓門處員經務負責發進動變選項結束棄幾種樣緊氣樂歡"
    "麗趙錢孫趕車場營業"
    "盧銖紐爾羅位於裡裏邊離廣東們來吳張陳劉楊黃許鄭馮蔣韋雲馬龍葉蘭賓壞記憶圓須願術請僅只總體頁頭臨顧復複無煩勞滿適繼續辦費讚極順"
)
_SIMPLIFIED = (
    "两点周礼号后这个时万亿贰陆参钟钟现对没问题谢帮换订预约转系电话请间圣诞节过吗么么为单双从开"
    "关当说听谁让给还会应该错误"
    "确认调议计划买卖钱块欧镑币韩台湾儿内饭馆厅楼门处员经务负责发进动变选项结束弃几种样紧气乐欢"
    "丽赵钱孙赶车场营业"
    "卢铢纽尔罗位于里里边离广东们来吴张陈刘杨黄许郑冯蒋韦云马龙叶兰宾坏记忆圆须愿术请仅只总体页头临顾复复无烦劳满适继续办费赞极顺"
)
TO_SIMPLIFIED = {ord(old): new for old, new in zip(_TRADITIONAL, _SIMPLIFIED, strict=True) if old != new}
"""For str.translate."""
